//! What the other services ask: gRPC `user.v1.Users`.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use actix_web::web;
use anyhow::Context as _;
use common::auth::{Permission, Principal, Role};
use common::error::ApiError;
use common::extract::{Check as _, Faults};
use common::ids::{StoreId, UserId};
use common::settings::ServerSettings;
use common::shutdown::Shutdown;
use contracts::user_v1::users_server::{Users, UsersServer};
use contracts::user_v1::{CreateUserRequest, GetUserRequest, User};
use contracts::wire::{invalid, parse_id};
use resilience::grpc::{Caller, Guarded, serve_grpc, server_builder, status_of};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status};

use crate::app::accounts;
use crate::domain::account::Account;
use crate::error::AccountError;
use crate::routes::UserIn;
use crate::state::AppState;

/// Services that may ask.
const ADMITTED: &[&str] = &[
    "gateway",
    "inventory",
    "order",
    "analytics",
    "iot",
    "payment",
];

/// The running server.
pub(crate) struct GrpcServer {
    pub(crate) address: SocketAddr,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl GrpcServer {
    /// Listens and serves until the shutdown.
    pub(crate) async fn start(
        state: &web::Data<AppState>,
        settings: &ServerSettings,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        let port = settings.grpc_port;
        let listener = TcpListener::bind((settings.host.as_str(), port)).await;
        let listener = listener.with_context(|| format!("gRPC port {port}"))?;
        let address = listener.local_addr()?;
        let calls = UsersServer::new(UserCalls(state.clone()));
        let guarded = Guarded::new(calls, state.verifier.clone(), ADMITTED);
        let router = server_builder().add_service(guarded);
        let stop = shutdown.clone();
        let task = tokio::spawn(serve_grpc(listener, router, async move {
            stop.triggered().await
        }));
        Ok(Self { address, task })
    }

    /// Waits until the calls under way have ended after the shutdown.
    pub(crate) async fn stopped(self) -> anyhow::Result<()> {
        self.task.await?.context("gRPC server")
    }
}

/// Serves the calls.
struct UserCalls(web::Data<AppState>);

#[tonic::async_trait]
impl Users for UserCalls {
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        let caller = Caller::of(&request)?.clone();
        let id: UserId = parse_id("user_id", &request.get_ref().user_id)?;
        let account = match &caller.user {
            Some(person) => {
                require(person, Permission::UsersRead)?;
                accounts::read(&self.0, person, id).await
            }
            None => accounts::read_for_service(&self.0, id).await,
        };
        account.map(wire).map_err(status)
    }

    async fn create_user(
        &self,
        request: Request<CreateUserRequest>,
    ) -> Result<Response<User>, Status> {
        let caller = Caller::of(&request)?.clone();
        let person = caller.user.ok_or_else(forbidden)?;
        require(&person, Permission::UsersWrite)?;
        let wanted = wanted(request.into_inner())?;
        let mut faults = Faults::default();
        wanted.check(&mut faults);
        faults.into_result().map_err(|error| status_of(&error))?;
        let new = wanted.into_new().map_err(|error| status_of(&error))?;
        match accounts::create(&self.0, &person, new).await {
            Ok(made) => Ok(wire(made)),
            Err(AccountError::EmailTaken) => Err(Status::already_exists("email_taken")),
            Err(error) => Err(status(error)),
        }
    }
}

fn wanted(message: CreateUserRequest) -> Result<UserIn, Status> {
    let roles: Result<BTreeSet<Role>, _> = message.roles.iter().map(|role| role.parse()).collect();
    let roles = roles.map_err(|_unknown| invalid("roles", "is not a known role"))?;
    let stores = message.store_ids.iter();
    let stores: Result<BTreeSet<StoreId>, Status> =
        stores.map(|id| parse_id("store_ids", id)).collect();
    Ok(UserIn::new(
        message.email,
        message.display_name,
        Some(message.password)
            .filter(|password| !password.is_empty())
            .map(Into::into),
        roles,
        stores?,
    ))
}

fn wire(account: Account) -> Response<User> {
    Response::new(User {
        user_id: account.id.to_string(),
        email: account.email,
        display_name: account.display_name,
        roles: account.roles.iter().map(ToString::to_string).collect(),
        store_ids: account.stores.iter().map(ToString::to_string).collect(),
        disabled: account.disabled,
        version: account.version,
    })
}

fn require(person: &Principal, permission: Permission) -> Result<(), Status> {
    if person.allows(permission) {
        Ok(())
    } else {
        Err(forbidden())
    }
}

fn forbidden() -> Status {
    status_of(&ApiError::forbidden())
}

fn status(error: AccountError) -> Status {
    status_of(&ApiError::from(error))
}
