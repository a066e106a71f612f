//! A browser as far as the provider's pages need one: cookies, forms, no redirects by itself.

use std::collections::BTreeMap;

use reqwest::Method;
use testkit::{ApiClient, Reply};

use super::application::form;

/// A browser with its cookies.
#[derive(Clone)]
pub(super) struct Browser {
    client: ApiClient,
    pub(super) cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(super) fn new(client: &ApiClient) -> Self {
        Self {
            client: client.without_token(),
            cookies: BTreeMap::new(),
        }
    }

    pub(super) async fn get(&mut self, path: &str) -> Reply {
        let request = self.client.request(Method::GET, path);
        self.send(request).await
    }

    pub(super) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let request = self.client.request(Method::POST, path);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(form(fields))).await
    }

    /// Posts the login page's form.
    pub(super) async fn log_in(&mut self, page: &Reply, email: &str, password: &str) -> Reply {
        let fields = [
            ("ticket", ticket_of(page)),
            ("email", email),
            ("password", password),
        ];
        self.post("/oauth/login", &fields).await
    }

    /// Posts the consent page's form.
    pub(super) async fn decide(&mut self, page: &Reply, decision: &str) -> Reply {
        let fields = [("ticket", ticket_of(page)), ("decision", decision)];
        self.post("/oauth/consent", &fields).await
    }

    /// Signs in and allows where asked, until the browser is sent elsewhere: returns where.
    pub(super) async fn walk(&mut self, path: &str, email: &str, password: &str) -> String {
        let mut reply = self.get(path).await;
        for _ in 0..4 {
            reply = match location_of(&reply) {
                Some(to) if to.starts_with('/') => self.get(&to).await,
                Some(to) => return to,
                None if reply.text.contains("name=\"password\"") => {
                    self.log_in(&reply, email, password).await
                }
                None if reply.text.contains("name=\"decision\"") => {
                    self.decide(&reply, "allow").await
                }
                None => panic!("neither a form nor a redirect: {reply}"),
            };
        }
        location_of(&reply).unwrap_or_else(|| panic!("it does not end: {reply}"))
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Reply {
        let pairs = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let cookies = pairs.collect::<Vec<_>>().join("; ");
        let reply = self.client.send(request.header("cookie", cookies)).await;
        for header in reply.headers.get_all("set-cookie") {
            let header = header.to_str().unwrap();
            let (name, rest) = header.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            match header.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        reply
    }
}

/// Where an answer sends the browser.
pub(super) fn location_of(reply: &Reply) -> Option<String> {
    (reply.status == 303).then(|| reply.header("location").unwrap().to_owned())
}

/// The parameters that an application gets back.
pub(super) fn query_of(address: &str) -> BTreeMap<String, String> {
    let url = url::Url::parse(address).unwrap();
    url.query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// The ticket in a page's form.
#[track_caller]
pub(super) fn ticket_of(page: &Reply) -> &str {
    let (_, rest) = page
        .text
        .split_once("name=\"ticket\" value=\"")
        .unwrap_or_else(|| panic!("no form in {page}"));
    rest.split('"').next().unwrap()
}
