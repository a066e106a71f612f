//! No way to get in without a right to it works through the gateway either: what a service refuses,
//! the gateway does not make acceptable on its way.

use std::net::{SocketAddr, TcpListener};

use actix_web::{App, HttpResponse, HttpServer, web};
use common::auth::{Permit, permits};
use testkit::{ApiClient, TestIdentity};

use crate::gateway::Gateway;

async fn read(caller: Permit<permits::OrdersRead>) -> HttpResponse {
    HttpResponse::Ok().body(caller.subject.clone())
}

/// A service with one route, guarded as every service's are.
fn guarded_service(identity: &TestIdentity) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let verifier = identity.verifier();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(verifier.clone()))
            .route("/api/orders", web::get().to(read))
    });
    let server = server
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap();
    tokio::spawn(server.run());
    address
}

#[tokio::test]
async fn no_attack_on_a_token_gets_in_through_the_gateway() {
    let identity = TestIdentity::new();
    let service = guarded_service(&identity);
    let gateway = Gateway::with(&format!("http://{service}"), &[]).await;
    let client = ApiClient::new(format!("http://{}", gateway.address()));

    let honest = client.with_token(identity.owner());
    assert_eq!(honest.get("/api/orders").await.status, 200);
    let mut wrong = Vec::new();
    for attack in identity.attacks() {
        let request = client.request(reqwest::Method::GET, "/api/orders");
        let reply = client.send(attack.apply(request)).await;
        // What two parsers could read differently does not reach a service at all.
        let refused_at_the_edge = attack.authorization.len() > 1 && reply.status == 400;
        if !refused_at_the_edge {
            wrong.extend(attack.fault(&reply));
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert_eq!(honest.get("/api/orders").await.status, 200);
}

#[tokio::test]
async fn a_right_token_passes_in_every_way_to_write_it() {
    let identity = TestIdentity::new();
    let service = guarded_service(&identity);
    let gateway = Gateway::with(&format!("http://{service}"), &[]).await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        // RFC 9110, section 11.1: the scheme's name has no case.
        let token = identity.owner();
        let request = format!(
            "GET /api/orders HTTP/1.1\r\nHost: x\r\nauthorization: {scheme} {token}\r\n\r\n"
        );
        gateway.ask(&request).await.expect(200);
    }
}
