//! A real client against a real server on a free port, with tokens signed by a test key.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use common::auth::{
    AUDIENCE, Claims, ISSUER, Jwk, JwkSet, Role, StaticKeys, StoreClaim, TokenSource,
    TokenSourceError, TokenType, TokenVerifier, install_jwt_crypto,
};
use common::clock::Clock;
use common::context::{RequestContext, current_request_id};
use common::ids::StoreId;
use contracts::inventory_v1::inventory_commands_client::InventoryCommandsClient;
use contracts::inventory_v1::inventory_commands_server::{
    InventoryCommands, InventoryCommandsServer,
};
use contracts::inventory_v1::{
    CommandReply, CommandRequest, GetReservationReply, GetReservationRequest, ReserveReply,
    ReserveRequest,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tonic::{Code, Request, Response, Status};

use super::*;
use crate::breaker::BreakerState;
use crate::deadline::Deadline;

const KID: &str = "test-key";

/// Signs tokens of services and users.
struct Issuer {
    pkcs8: Vec<u8>,
    clock: Clock,
}

impl Issuer {
    fn new() -> Self {
        install_jwt_crypto();
        let document = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
        Self {
            pkcs8: document.as_ref().to_vec(),
            clock: Clock::system(),
        }
    }

    fn verifier(&self) -> TokenVerifier {
        let pair = Ed25519KeyPair::from_pkcs8(&self.pkcs8).unwrap();
        let key = Jwk::ed25519(KID, pair.public_key().as_ref());
        TokenVerifier::new(
            StaticKeys::new(JwkSet { keys: vec![key] }),
            self.clock.clone(),
        )
    }

    fn token(&self, typ: TokenType, subject: &str, stores: StoreClaim, lifetime_s: i64) -> String {
        let now = self.clock.now().as_unix_seconds();
        let claims = Claims {
            ver: 0,
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: subject.to_owned(),
            sid: None,
            exp: now + lifetime_s,
            nbf: now - 600,
            iat: now - 600,
            jti: "1".to_owned(),
            typ,
            roles: vec![Role::StoreManager],
            stores,
            azp: None,
            scope: None,
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(KID.to_owned());
        let key = EncodingKey::from_ed_der(&self.pkcs8);
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }

    fn service(&self, name: &str) -> String {
        self.token(TokenType::Service, name, StoreClaim::default(), 600)
    }

    fn user(&self, stores: StoreClaim, lifetime_s: i64) -> String {
        self.token(TokenType::Access, "7", stores, lifetime_s)
    }
}

struct FixedToken(String);

#[async_trait]
impl TokenSource for FixedToken {
    async fn token(&self) -> Result<Arc<str>, TokenSourceError> {
        Ok(self.0.as_str().into())
    }
}

/// Does what the order's id tells it.
struct Obedient {
    entered: Arc<Notify>,
    leave: Arc<Notify>,
}

#[tonic::async_trait]
impl InventoryCommands for Obedient {
    async fn reserve(
        &self,
        request: Request<ReserveRequest>,
    ) -> Result<Response<ReserveReply>, Status> {
        let store = contracts::wire::parse_id("store_id", &request.get_ref().store_id)?;
        Caller::of(&request)?.require_store(store)?;
        Ok(Response::new(ReserveReply::default()))
    }

    async fn commit(&self, _: Request<CommandRequest>) -> Result<Response<CommandReply>, Status> {
        Err(Status::unavailable("no database"))
    }

    async fn release(&self, _: Request<CommandRequest>) -> Result<Response<CommandReply>, Status> {
        Err(Status::not_found("no such order"))
    }

    async fn restock(&self, _: Request<CommandRequest>) -> Result<Response<CommandReply>, Status> {
        panic!("a defect")
    }

    async fn get_reservation(
        &self,
        request: Request<GetReservationRequest>,
    ) -> Result<Response<GetReservationReply>, Status> {
        let caller = Caller::of(&request)?;
        let reservation_id = match request.get_ref().order_id.as_str() {
            "who" => caller.service.clone(),
            "user" => caller
                .user
                .as_ref()
                .map_or("nobody", |user| &user.subject)
                .to_owned(),
            "request" => current_request_id().unwrap_or_default(),
            "left" => Deadline::current()
                .unwrap()
                .remaining()
                .as_millis()
                .to_string(),
            "hang" => std::future::pending().await,
            _ => {
                self.entered.notify_one();
                self.leave.notified().await;
                "left".to_owned()
            }
        };
        Ok(Response::new(GetReservationReply {
            state: 1,
            reservation_id,
        }))
    }
}

struct Harness {
    issuer: Issuer,
    url: String,
    entered: Arc<Notify>,
    leave: Arc<Notify>,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Harness {
    async fn start() -> Self {
        let issuer = Issuer::new();
        let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let obedient = Obedient {
            entered: Arc::clone(&entered),
            leave: Arc::clone(&leave),
        };
        let service = InventoryCommandsServer::new(obedient);
        let guarded = Guarded::new(service, issuer.verifier(), &["order"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let router = server_builder().add_service(guarded);
        let served = tokio::spawn(serve_grpc(listener, router, async {
            let _ = stopped.await;
        }));
        Self {
            issuer,
            url,
            entered,
            leave,
            stop,
            served,
        }
    }

    fn channel(&self, token: Option<String>) -> GrpcChannel {
        let tokens = token.map(|token| Arc::new(FixedToken(token)) as Arc<dyn TokenSource>);
        let params = ChannelParams {
            call_timeout: Duration::from_millis(500),
            ..ChannelParams::default()
        };
        GrpcChannel::try_new("inventory", &self.url, params, tokens).unwrap()
    }

    fn order(&self) -> GrpcChannel {
        self.channel(Some(self.issuer.service("order")))
    }
}

async fn ask(channel: &GrpcChannel, what: &str) -> Result<String, Status> {
    let request = GetReservationRequest {
        order_id: what.to_owned(),
    };
    let mut client = InventoryCommandsClient::new(channel.clone());
    let reply = client.get_reservation(request).await?;
    Ok(reply.into_inner().reservation_id)
}

fn command() -> CommandRequest {
    CommandRequest::default()
}

#[tokio::test]
async fn nonsense_is_refused() {
    for url in ["", "inventory:5103", "https://inventory:5103", "http://"] {
        let channel = GrpcChannel::try_new("x", url, ChannelParams::default(), None);
        assert!(channel.is_err(), "{url}");
    }
    let never = ChannelParams {
        call_timeout: Duration::ZERO,
        ..ChannelParams::default()
    };
    assert!(GrpcChannel::try_new("x", "http://x", never, None).is_err());
}

#[tokio::test]
async fn identity_context_and_deadline_travel_with_the_call() {
    let harness = Harness::start().await;
    let channel = harness.order();
    assert_eq!(ask(&channel, "who").await.unwrap(), "order");
    assert_eq!(ask(&channel, "user").await.unwrap(), "nobody");

    let mut context = RequestContext::from_texts(Some("req-7"), None);
    context.user_token = Some(harness.issuer.user(StoreClaim::ALL, 600));
    let asked = async {
        let deadline = Deadline::after(Duration::from_millis(300));
        let left = deadline.scope(ask(&channel, "left")).await.unwrap();
        assert!(
            (1..=300).contains(&left.parse::<u64>().unwrap()),
            "{left} ms"
        );
        (ask(&channel, "user").await, ask(&channel, "request").await)
    };
    let (user, request) = context.scope(asked).await;
    assert_eq!(user.unwrap(), "7");
    assert_eq!(request.unwrap(), "req-7");
}

#[tokio::test]
async fn only_admitted_services_get_in() {
    let harness = Harness::start().await;
    let issuer = &harness.issuer;
    let foreign = Issuer::new().service("order");
    for (token, code) in [
        (None, Code::Unauthenticated),
        (Some("nonsense".to_owned()), Code::Unauthenticated),
        (Some(foreign), Code::Unauthenticated),
        (
            Some(issuer.user(StoreClaim::ALL, 600)),
            Code::PermissionDenied,
        ),
        (Some(issuer.service("analytics")), Code::PermissionDenied),
    ] {
        let refused = ask(&harness.channel(token), "who").await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
    }
}

#[tokio::test]
async fn a_service_does_not_lend_its_power_to_a_user() {
    let harness = Harness::start().await;
    let own = StoreId::new(&harness.issuer.clock);
    let foreign = StoreId::new(&harness.issuer.clock);
    let channel = harness.order();
    let reserve = |store: StoreId, user_token: Option<String>| {
        let request = ReserveRequest {
            store_id: store.to_string(),
            ..ReserveRequest::default()
        };
        let mut context = RequestContext::background();
        context.user_token = user_token;
        let mut client = InventoryCommandsClient::new(channel.clone());
        async move {
            let reply = context.scope(client.reserve(request)).await;
            reply.map_or_else(|status| status.code(), |_| Code::Ok)
        }
    };
    let user = |lifetime_s| harness.issuer.user(StoreClaim::Only(vec![own]), lifetime_s);
    assert_eq!(reserve(own, Some(user(600))).await, Code::Ok);
    assert_eq!(reserve(foreign, Some(user(600))).await, Code::NotFound);
    assert_eq!(reserve(foreign, None).await, Code::Ok);
    // The user asked while the token was good: the saga goes on.
    assert_eq!(reserve(own, Some(user(-60))).await, Code::Ok);
    assert_eq!(
        reserve(own, Some("forged".to_owned())).await,
        Code::Unauthenticated
    );
}

#[tokio::test]
async fn a_silent_neighbour_is_given_up_in_time() {
    let harness = Harness::start().await;
    let started = std::time::Instant::now();
    let error = ask(&harness.order(), "hang").await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    assert!(!is_unsent(&error), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_panic_is_an_error_of_one_call() {
    let harness = Harness::start().await;
    let channel = harness.order();
    let mut client = InventoryCommandsClient::new(channel.clone());
    let error = client.restock(command()).await.unwrap_err();
    assert_eq!(error.code(), Code::Internal, "{error}");
    assert!(!error.message().contains("defect"));
    assert_eq!(ask(&channel, "who").await.unwrap(), "order");
}

#[tokio::test]
async fn refusals_leave_the_breaker_closed_and_failures_open_it() {
    let harness = Harness::start().await;
    let channel = harness.order();
    let mut client = InventoryCommandsClient::new(channel.clone());
    for _ in 0..20 {
        let refused = client.release(command()).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        ask(&channel, "who").await.unwrap();
    }
    assert_eq!(channel.breaker().state(), BreakerState::Closed);
    while channel.breaker().state() == BreakerState::Closed {
        let failed = client.commit(command()).await.unwrap_err();
        assert_eq!(failed.code(), Code::Unavailable);
        assert_eq!(failed.message(), "no database");
        assert!(!is_unsent(&failed), "{failed:?}");
    }
    let unsent = client.commit(command()).await.unwrap_err();
    assert_eq!(unsent.code(), Code::Unavailable);
    assert!(is_unsent(&unsent), "{unsent:?}");
}

#[tokio::test]
async fn an_absent_neighbour_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let channel = GrpcChannel::try_new("gone", &url, ChannelParams::default(), None).unwrap();
    let error = ask(&channel, "who").await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(is_unsent(&error), "{error:?}");
}

#[tokio::test]
async fn a_stop_lets_the_call_under_way_end() {
    let harness = Harness::start().await;
    let channel = harness.order();
    let call = tokio::spawn(async move { ask(&channel, "wait").await });
    harness.entered.notified().await;
    harness.stop.send(()).unwrap();
    harness.leave.notify_one();
    assert_eq!(call.await.unwrap().unwrap(), "left");
    harness.served.await.unwrap().unwrap();
}
