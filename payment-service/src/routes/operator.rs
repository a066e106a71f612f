//! Another service, or a person who may operate the system.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpRequest};
use common::auth::{Permit, ServiceIdentity, permits};
use common::error::ApiError;

/// A caller who may look into the system. 401 without a valid token, 403 for anybody else.
pub(super) struct Operator;

impl FromRequest for Operator {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let service = ServiceIdentity::extract(request);
        let person = Permit::<permits::SystemOperate>::extract(request);
        Box::pin(async move {
            match service.await {
                Ok(_service) => Ok(Self),
                Err(error) if error.status() == StatusCode::FORBIDDEN => {
                    person.await.map(|_person| Self)
                }
                Err(error) => Err(error),
            }
        })
    }
}
