//! What the simulated disk does wrong on request: exactly that, once, and counted.

use std::io::ErrorKind;

use quorate_log::disk::Disk;
use quorate_sim::disk::{Fault, SimDisk};
use quorate_sim::rng::Rng;

const SECTOR: usize = 512;

/// A disk with one file of eight sectors, each filled with its number.
fn disk() -> SimDisk {
    let disk = SimDisk::new(Rng::stream(1, "disk"));
    let file = disk.create("file").expect("a sound disk creates");
    let bytes: Vec<u8> = (0..8_u8).flat_map(|number| [number; SECTOR]).collect();
    disk.write_at(&file, &bytes, 0).expect("a sound disk writes");
    disk.sync(&file).expect("a sound disk syncs");
    disk.sync_dir("").expect("a sound disk syncs its names");
    disk
}

#[test]
fn a_misdirected_read_gives_another_sector_once_and_changes_nothing() {
    let disk = disk();
    let file = disk.open("file").expect("the file is there");
    let read = || {
        let mut sector = [0xff; SECTOR];
        assert_eq!(disk.read_at(&file, &mut sector, 0).expect("a read that goes astray succeeds"), SECTOR);
        sector
    };
    let strayed = (0..20).filter(|_| {
        disk.inject(Fault::MisdirectRead, 0);
        read() != [0; SECTOR]
    });
    assert!(strayed.count() > 10, "most other places are not the right one");
    assert_eq!((read(), disk.count(Fault::MisdirectRead)), ([0; SECTOR], 20));
}

#[test]
fn a_short_write_leaves_its_first_sectors_and_says_so() {
    let disk = disk();
    let file = disk.open("file").expect("the file is there");
    disk.inject(Fault::ShortWrite, 0);
    let error = disk.write_at(&file, &[9; 8 * SECTOR], 0).expect_err("a short write is an error");
    assert_eq!(error.kind(), ErrorKind::WriteZero);
    let bytes = disk.contents("file").expect("the file is there");
    let written = bytes.iter().take_while(|byte| **byte == 9).count();
    assert!(written < bytes.len() && written % SECTOR == 0, "{written} bytes");
    assert!(!bytes[written..].contains(&9), "what is behind the end of a short write is as before");
}

#[test]
fn a_read_only_disk_allows_no_change_and_syncs_what_was_written_before() {
    let disk = disk();
    let file = disk.open("file").expect("the file is there");
    disk.write_at(&file, &[7; SECTOR], 0).expect("the disk can still be written");
    disk.set_rate(Fault::ReadOnly, 1000);
    let refused = [
        disk.write_at(&file, &[8; SECTOR], 0).err(),
        disk.create("other").err(),
        disk.rename("file", "other").err(),
        disk.remove("file").err(),
        disk.set_len(&file, 0).err(),
        disk.create_dir("folder").err(),
        disk.lock("lock").err(),
    ];
    for error in refused {
        assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::ReadOnlyFilesystem));
    }
    disk.sync(&file).expect("what was written before reaches the disk");
    disk.heal();
    disk.crash_losing_all();
    assert_eq!(disk.contents("file").expect("the file is there")[..SECTOR], [7; SECTOR]);
}
