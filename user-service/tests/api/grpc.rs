use std::sync::Arc;

use async_trait::async_trait;
use common::auth::{TokenSource, TokenSourceError};
use common::context::RequestContext;
use contracts::user_v1::users_client::UsersClient;
use contracts::user_v1::{CreateUserRequest, GetUserRequest, User};
use resilience::grpc::{ChannelParams, GrpcChannel};
use tonic::{Code, Status};

use crate::harness::{PASSWORD, TestApp, text};
use crate::revocations::service_token;

const STORE: &str = "0190b7a0-5a3c-7c1e-9a51-000000000001";
const OTHER: &str = "0190b7a0-5a3c-7c1e-9a51-000000000002";

struct Fixed(Arc<str>);

#[async_trait]
impl TokenSource for Fixed {
    async fn token(&self) -> Result<Arc<str>, TokenSourceError> {
        Ok(Arc::clone(&self.0))
    }
}

/// Calls with one token, for a person or for nobody.
struct Calls {
    client: UsersClient<GrpcChannel>,
    person: Option<String>,
}

impl Calls {
    fn with(app: &TestApp, token: String) -> Self {
        let url = format!("http://{}", app.grpc());
        let tokens: Arc<dyn TokenSource> = Arc::new(Fixed(token.into()));
        let channel = GrpcChannel::try_new("user", &url, ChannelParams::default(), Some(tokens));
        Self {
            client: UsersClient::new(channel.unwrap()),
            person: None,
        }
    }

    async fn of_service(app: &TestApp) -> Self {
        Self::with(app, service_token(app, "order").await)
    }

    fn for_person(&self, token: &str) -> Self {
        Self {
            client: self.client.clone(),
            person: Some(token.to_owned()),
        }
    }

    fn context(&self) -> RequestContext {
        RequestContext {
            user_token: self.person.clone(),
            ..RequestContext::background()
        }
    }

    async fn get(&self, id: &str) -> Result<User, Status> {
        let request = GetUserRequest {
            user_id: id.to_owned(),
        };
        let mut client = self.client.clone();
        let call = async move { client.get_user(request).await };
        self.context()
            .scope(call)
            .await
            .map(tonic::Response::into_inner)
    }

    async fn create(&self, request: CreateUserRequest) -> Result<User, Status> {
        let mut client = self.client.clone();
        let call = async move { client.create_user(request).await };
        self.context()
            .scope(call)
            .await
            .map(tonic::Response::into_inner)
    }
}

fn wanted(email: &str) -> CreateUserRequest {
    CreateUserRequest {
        email: email.to_owned(),
        display_name: "Somebody".to_owned(),
        password: PASSWORD.to_owned(),
        roles: vec!["crew".to_owned()],
        store_ids: vec![STORE.to_owned()],
    }
}

async fn token_of(app: &TestApp, email: &str, password: &str) -> String {
    let tokens = app.log_in(email, password).await.expect(200);
    text(&tokens, "access_token").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_reads_accounts_and_for_a_person_only_what_that_person_may() {
    let app = TestApp::start().await;
    let crew = app.make_user("crew@maru.local", &["crew"], &[STORE]).await;
    let foreign = app
        .make_user("foreign@maru.local", &["crew"], &[OTHER])
        .await;
    app.make_user("manager@maru.local", &["store_manager"], &[STORE])
        .await;
    let service = Calls::of_service(&app).await;
    let read = service.get(text(&crew, "id")).await.unwrap();
    assert_eq!(read.email, "crew@maru.local");
    assert_eq!(
        (read.roles, read.store_ids),
        (vec!["crew".to_owned()], vec![STORE.to_owned()])
    );
    assert_eq!((read.disabled, read.version), (false, 1));

    let manager = token_of(&app, "manager@maru.local", PASSWORD).await;
    let manager = service.for_person(&manager);
    assert!(manager.get(text(&crew, "id")).await.is_ok());
    let hidden = manager.get(text(&foreign, "id")).await.unwrap_err();
    assert_eq!(hidden.code(), Code::NotFound);
    let crew_token = token_of(&app, "crew@maru.local", PASSWORD).await;
    let refused = service.for_person(&crew_token).get(text(&crew, "id")).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let unknown = service.get("0190b7a0-5a3c-7c1e-9a51-0000000000ff").await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    let malformed = service.get("kim").await;
    assert_eq!(malformed.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_made_only_in_the_name_of_a_person_who_may() {
    let app = TestApp::start().await;
    app.make_user("manager@maru.local", &["store_manager"], &[STORE])
        .await;
    let service = Calls::of_service(&app).await;
    let alone = service.create(wanted("kim@maru.local")).await;
    assert_eq!(alone.unwrap_err().code(), Code::PermissionDenied);
    let manager = token_of(&app, "manager@maru.local", PASSWORD).await;
    let refused = service
        .for_person(&manager)
        .create(wanted("kim@maru.local"))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);

    use crate::harness::{OWNER, OWNER_PASSWORD};
    let owner = service.for_person(&token_of(&app, OWNER, OWNER_PASSWORD).await);
    let made = owner.create(wanted("kim@maru.local")).await.unwrap();
    assert_eq!(made.store_ids, [STORE]);
    let _signed_in = app.signed_in("kim@maru.local", PASSWORD).await;
    let again = owner.create(wanted("kim@maru.local")).await;
    assert_eq!(again.unwrap_err().code(), Code::AlreadyExists);
    for wrong in [
        CreateUserRequest {
            email: "kim".to_owned(),
            ..wanted("")
        },
        CreateUserRequest {
            password: "short".to_owned(),
            ..wanted("lee@maru.local")
        },
        CreateUserRequest {
            roles: vec!["janitor".to_owned()],
            ..wanted("lee@maru.local")
        },
        CreateUserRequest {
            roles: vec!["service".to_owned()],
            ..wanted("lee@maru.local")
        },
        CreateUserRequest {
            store_ids: vec!["here".to_owned()],
            ..wanted("lee@maru.local")
        },
    ] {
        let refused = owner.create(wrong.clone()).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::InvalidArgument,
            "{wrong:?}: {refused}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_a_service_is_let_in() {
    let app = TestApp::start().await;
    use crate::harness::{OWNER, OWNER_PASSWORD};
    let id = "0190b7a0-5a3c-7c1e-9a51-0000000000ff";
    let person = Calls::with(&app, token_of(&app, OWNER, OWNER_PASSWORD).await);
    assert_eq!(
        person.get(id).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let nobody = Calls::with(&app, "nonsense".to_owned());
    assert_eq!(
        nobody.get(id).await.unwrap_err().code(),
        Code::Unauthenticated
    );
}
