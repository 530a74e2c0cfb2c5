//! All routes as one table: what the router serves, what `GET /` lists, what a wrong path or method is told.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post, put};
use quorate_api::meaning::ProblemCode;
use serde::Serialize;

use crate::app::App;
use crate::call::Call;
use crate::problem::{Failure, json};
use crate::{cluster, definitions, instances, probes, proposals, steering, telemetry};

/// One route.
struct Route {
    method: &'static str,
    path: &'static str,
    does: &'static str,
    handler: fn() -> MethodRouter<App>,
}

/// Every route, those of later versions included: they are answered 501 with their name, never as unknown.
static ROUTES: &[Route] = &[
    Route { method: "GET", path: "/", does: "this list", handler: || get(index) },
    Route {
        method: "PUT",
        path: "/v1/machines/{machine}",
        does: "apply a definition (TOML or JSON)",
        handler: || put(definitions::apply),
    },
    Route {
        method: "GET",
        path: "/v1/machines",
        does: "list the machines",
        handler: || get(definitions::list),
    },
    Route {
        method: "GET",
        path: "/v1/machines/{machine}",
        does: "show a definition (?version=)",
        handler: || get(definitions::get),
    },
    Route {
        method: "POST",
        path: "/v1/machines/{machine}/instances",
        does: "create an instance",
        handler: || post(instances::create),
    },
    Route {
        method: "GET",
        path: "/v1/machines/{machine}/instances",
        does: "list instances (?state=&limit=&cursor=)",
        handler: || get(instances::list),
    },
    Route {
        method: "GET",
        path: "/v1/machines/{machine}/count",
        does: "count instances by state",
        handler: || get(instances::count),
    },
    Route {
        method: "GET",
        path: "/v1/machines/{machine}/instances/{id}",
        does: "show an instance",
        handler: || get(instances::get),
    },
    Route {
        method: "POST",
        path: "/v1/machines/{machine}/instances/{id}/proposals",
        does: "propose an event or a target state (?explain=true)",
        handler: || post(proposals::submit),
    },
    Route {
        method: "GET",
        path: "/v1/machines/{machine}/instances/{id}/history",
        does: "what happened to an instance (?from=&limit=)",
        handler: || get(instances::history),
    },
    Route {
        method: "POST",
        path: "/v1/sessions",
        does: "open a session",
        handler: || post(cluster::open_session),
    },
    Route { method: "GET", path: "/v1/cluster", does: "how every node is", handler: || get(cluster::status) },
    Route { method: "GET", path: "/livez", does: "whether the node runs", handler: || get(probes::livez) },
    Route {
        method: "GET",
        path: "/readyz",
        does: "whether the node serves",
        handler: || get(probes::readyz),
    },
    Route {
        method: "GET",
        path: "/metrics",
        does: "metrics for Prometheus",
        handler: || get(telemetry::metrics),
    },
    Route {
        method: "GET",
        path: "/v1/machines/{machine}/diagram",
        does: LATER,
        handler: || get(async || Failure::not_supported("diagrams of machines")),
    },
    Route {
        method: "DELETE",
        path: "/v1/machines/{machine}/instances/{id}",
        does: LATER,
        handler: || delete(async || Failure::not_supported("retiring instances")),
    },
    Route {
        method: "POST",
        path: "/v1/transactions",
        does: LATER,
        handler: || post(async || Failure::not_supported("transactions over several instances")),
    },
    Route {
        method: "GET",
        path: "/v1/watch",
        does: LATER,
        handler: || get(async || Failure::not_supported("watching transitions")),
    },
    Route {
        method: "POST",
        path: "/v1/cluster/members",
        does: "add a node",
        handler: || post(steering::add),
    },
    Route {
        method: "POST",
        path: "/v1/cluster/members/{node}/promote",
        does: "let a learner become a voter",
        handler: || post(steering::promote),
    },
    Route {
        method: "DELETE",
        path: "/v1/cluster/members/{node}",
        does: "remove a node for good",
        handler: || delete(steering::remove),
    },
    Route {
        method: "POST",
        path: "/v1/cluster/transfer",
        does: "let another node lead",
        handler: || post(steering::transfer),
    },
    Route {
        method: "GET",
        path: "/openapi.json",
        does: LATER,
        handler: || get(async || Failure::not_supported("the OpenAPI description")),
    },
];

/// The router over the table.
pub(crate) fn router(app: App) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        router = router.route(route.path, (route.handler)());
    }
    router
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown)
        .layer(from_fn_with_state(app.clone(), telemetry::observe))
        .with_state(app)
}

/// `GET /`.
async fn index(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    #[derive(Serialize)]
    struct Index {
        name: &'static str,
        version: &'static str,
        node: u64,
        routes: Vec<Listed>,
    }
    #[derive(Serialize)]
    struct Listed {
        method: &'static str,
        path: &'static str,
        does: &'static str,
    }
    call.allow(&[])?;
    let listed = |route: &Route| Listed { method: route.method, path: route.path, does: route.does };
    let routes = ROUTES.iter().filter(|route| route.does != LATER).map(listed).collect();
    let index =
        Index { name: "quorate", version: env!("CARGO_PKG_VERSION"), node: app.node.status().node, routes };
    Ok(json(200, &index))
}

async fn unknown(method: Method, uri: Uri) -> Failure {
    let near = quorate_machine::did_you_mean(uri.path(), ROUTES.iter().map(|route| route.path));
    let hint = match near {
        Some(near) => format!("did you mean {near}? `GET /` lists all routes"),
        None => "`GET /` lists all routes".to_owned(),
    };
    Failure::new(ProblemCode::UnknownRoute, format!("there is no {method} {}", uri.path()), hint)
}

async fn wrong_method(method: Method, uri: Uri) -> Failure {
    let methods: Vec<&str> =
        ROUTES.iter().filter(|route| matches(route.path, uri.path())).map(|route| route.method).collect();
    let methods = methods.join(", ");
    let failure = Failure::new(
        ProblemCode::MethodNotAllowed,
        format!("{} does not take {method}", uri.path()),
        format!("it takes {methods}"),
    );
    match HeaderValue::from_str(&methods) {
        Ok(methods) => failure.allowing(methods),
        Err(_) => failure,
    }
}

/// Whether a path has the form of a route's: part by part, a part in braces takes anything.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(part)) if wanted.starts_with('{') || wanted == part => {}
            (None | Some(_), None | Some(_)) => return false,
        }
    }
}

/// Marks a route that this version only names.
const LATER: &str = "not in this version";
