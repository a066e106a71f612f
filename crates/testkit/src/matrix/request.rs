//! Builds the request of an operation for one store.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Place;
use super::verdict::StoreSource;
use crate::client::ApiClient;
use crate::hostile::document::{self, Document, Operation, type_of};
use crate::hostile::runner::{as_text, encode};
use crate::hostile::sample::{Fill, required};

/// Whether the request says which store it means where it may leave it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    Named,
    Unnamed,
}

/// One request of the matrix.
pub(super) struct Question<'a> {
    /// The document with the values of the store that is meant.
    pub(super) document: &'a Document,
    pub(super) operation: &'a Operation,
    pub(super) source: &'a StoreSource,
    pub(super) place: &'a Place,
    pub(super) naming: Naming,
}

impl Question<'_> {
    pub(super) fn build(&self, client: &ApiClient) -> Result<reqwest::RequestBuilder, String> {
        let (target, headers) = self.target();
        let method = self.operation.method.to_uppercase();
        let method: Method = method
            .parse()
            .map_err(|_unknown| format!("method {method}"))?;
        let is_write = method != Method::GET;
        let mut request = client.request(method, &target);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if is_write {
            request = request.header("idempotency-key", Uuid::new_v4().to_string());
        }
        Ok(match self.body() {
            Some(body) => request.json(&body),
            None => request,
        })
    }

    /// Path with query, and headers.
    fn target(&self) -> (String, Vec<(String, String)>) {
        let mut path = self.operation.path.clone();
        let mut query = Vec::new();
        let mut headers = Vec::new();
        for parameter in &self.operation.parameters {
            let name = &parameter.name;
            let is_store = match (self.source, parameter.place) {
                (StoreSource::Path(store), document::Place::Path)
                | (StoreSource::Query(store), document::Place::Query) => store == name,
                _ => false,
            };
            let wanted = parameter.required || (is_store && self.naming == Naming::Named);
            let value = match is_store {
                true => self.place.store.to_string(),
                false => as_text(&self.value_of(parameter)),
            };
            match parameter.place {
                document::Place::Path => {
                    path = path.replace(&format!("{{{name}}}"), &encode(&value));
                }
                document::Place::Query if wanted => {
                    query.push(format!("{name}={}", encode(&value)))
                }
                document::Place::Header if wanted && name.to_lowercase() != "idempotency-key" => {
                    headers.push((name.to_lowercase(), value));
                }
                document::Place::Query | document::Place::Header => {}
            }
        }
        let separator = if query.is_empty() { "" } else { "?" };
        (format!("{path}{separator}{}", query.join("&")), headers)
    }

    fn value_of(&self, parameter: &document::Parameter) -> Value {
        let of_path = (parameter.place == document::Place::Path)
            .then(|| self.document.known(&self.operation.path))
            .flatten();
        let known = of_path.or_else(|| self.document.known(&parameter.name));
        known
            .cloned()
            .unwrap_or_else(|| self.document.sample(&parameter.schema, Fill::Required))
    }

    fn body(&self) -> Option<Value> {
        let schema = self.operation.body.as_ref()?.schema.as_ref()?;
        let mut body = self.document.sample(schema, Fill::Required);
        let StoreSource::Body(name) = self.source else {
            return Some(body);
        };
        let schema = self.document.resolve(schema);
        let property = schema.pointer(&format!("/properties/{name}"));
        let is_list =
            property.is_some_and(|property| type_of(&self.document.resolve(property)) == "array");
        let is_required = required(&schema).contains(&name.as_str());
        if let Some(object) = body.as_object_mut()
            && (is_required || self.naming == Naming::Named)
        {
            let store = self.place.store.to_string();
            let store = if is_list {
                json!([store])
            } else {
                json!(store)
            };
            object.insert(name.clone(), store);
        }
        Some(body)
    }

    /// Whether the request may leave out which store it means.
    pub(super) fn may_be_unnamed(&self) -> bool {
        match self.source {
            StoreSource::Query(name) => {
                let parameters = self.operation.parameters.iter();
                let mut named = parameters.filter(|parameter| parameter.name == *name);
                named.any(|parameter| !parameter.required)
            }
            _ => false,
        }
    }
}
