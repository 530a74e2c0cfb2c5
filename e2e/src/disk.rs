//! Small file systems for the data of nodes: in memory, and on a loop device, which can lose its power. *Knows nothing of* what
//! is stored on them.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::BOUND;
use crate::fault::NotPermitted;

/// A small file system. Dropped, it is gone; drop the processes that use it first.
pub struct SmallDisk {
    /// Where it is mounted.
    dir: tempfile::TempDir,
    /// What stands for its device, if it has one.
    image: Option<tempfile::NamedTempFile>,
}

impl SmallDisk {
    /// One of so many bytes in memory.
    ///
    /// # Errors
    /// When the system does not let this user mount one.
    pub fn in_memory(bytes: u64) -> Result<SmallDisk, NotPermitted> {
        let mount = || {
            let dir = tempfile::tempdir()?;
            run(Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "quorate-e2e"])
                .arg(dir.path()))?;
            Ok(SmallDisk { dir, image: None })
        };
        mount().map_err(no_disk)
    }

    /// One of so many bytes on a device of its own: ext4 on a loop device, which keeps in memory what nobody syncs.
    ///
    /// # Errors
    /// When the system does not let this user mount one, or cannot take its power away.
    pub fn on_device(bytes: u64) -> Result<SmallDisk, NotPermitted> {
        let mount = || {
            let (dir, image) = (tempfile::tempdir()?, tempfile::NamedTempFile::new()?);
            image.as_file().set_len(bytes)?;
            run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(image.path()))?;
            run(Command::new("python3").args(["-c", "import fcntl"]))?;
            let disk = SmallDisk { dir, image: Some(image) };
            disk.mount_device()?;
            Ok(disk)
        };
        mount().map_err(no_disk)
    }

    /// Mounted so that the system itself writes nothing back while a test takes.
    fn mount_device(&self) -> Result<()> {
        let image = self.image.as_ref().context("it has a device")?;
        run(Command::new("mount").args(["-o", "loop,commit=300"]).arg(image.path()).arg(self.dir.path()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Takes the power away: nothing reaches the device from now on, and what was written and not synced is lost. Whoever uses
    /// it must stand ([`crate::fault::pause`]): a sync that is under way may be told a success although its data is lost. No
    /// outage does that, for nobody lives to hear it.
    ///
    /// # Errors
    /// When it has no device.
    pub fn power_off(&self) -> Result<()> {
        ensure!(self.image.is_some(), "memory has no power to lose");
        // EXT4_IOC_SHUTDOWN without a flush of the journal. Nothing that is always there calls it, and safe code cannot.
        const SHUTDOWN: &str = "import fcntl, os, struct, sys\n\
            fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";
        run(Command::new("python3").args(["-c", SHUTDOWN]).arg(self.dir.path()))
    }

    /// Gives the power back: mounts what is on the device. Nobody may use the file system.
    ///
    /// # Errors
    /// When somebody does.
    pub fn power_on(&self) -> Result<()> {
        run(Command::new("umount").arg(self.dir.path()))?;
        let image = self.image.as_ref().context("it has a device")?;
        // Whoever made namespaces of his own meanwhile has a copy of the mount, with which the dead file system lives on until he lets it go.
        let begin = Instant::now();
        loop {
            let output = Command::new("losetup").arg("-j").arg(image.path()).output().context("losetup")?;
            if output.stdout.is_empty() {
                return self.mount_device();
            }
            ensure!(begin.elapsed() < BOUND, "the device stays in use: {output:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Takes all the space that is left, and what has become free since, with a file that [`SmallDisk::free`] removes.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn fill(&self) -> Result<()> {
        let mut filler = File::options().create(true).append(true).open(self.filler())?;
        let zeros = vec![0; 4096];
        let full = |error: &std::io::Error| error.kind() == std::io::ErrorKind::StorageFull;
        loop {
            match filler.write(&zeros) {
                Ok(_) => {}
                // Some file systems promise space that they do not have until they must write.
                Err(error) if full(&error) => match filler.sync_all() {
                    Err(error) if !full(&error) => return Err(error.into()),
                    Ok(()) | Err(_) => return Ok(()),
                },
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives the space back.
    ///
    /// # Errors
    /// When it was not taken.
    pub fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.dir.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is just being killed may still hold it. A loop device goes with its last user.
        let mut umount = Command::new("umount");
        let _ = umount.arg("-l").arg(self.dir.path()).stderr(Stdio::null()).status();
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is the last that is done with an error")]
fn no_disk(error: anyhow::Error) -> NotPermitted {
    NotPermitted(format!("no small file system: {error:#}"))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", said.trim());
    Ok(())
}
