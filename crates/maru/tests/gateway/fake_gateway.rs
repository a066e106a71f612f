//! A gateway with the services behind it in one process and in memory. It refuses whatever the API
//! refuses (unknown fields, missing tokens and keys, a key with another body) and can be told to
//! fail.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) const EMAIL: &str = "owner@maru.local";
pub(crate) const PASSWORD: &str = "correct horse";

/// What the gateway knows.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) stores: BTreeMap<String, StoreIn>,
    pub(crate) items: BTreeMap<String, ItemIn>,
    pub(crate) products: BTreeMap<String, ProductIn>,
    pub(crate) recipes: BTreeMap<String, RecipeIn>,
    /// By (source, external id).
    pub(crate) imported: BTreeMap<(String, String), ImportedIn>,
    /// By idempotency key.
    pub(crate) receipts: BTreeMap<String, Value>,
    /// By idempotency key.
    pub(crate) live: BTreeMap<String, Live>,
    pub(crate) devices: BTreeMap<String, Value>,
    /// Of the devices, by id.
    pub(crate) passwords: BTreeMap<String, String>,
    /// Refuse these external ids with 422 for the whole request.
    pub(crate) poisoned: BTreeSet<String>,
    /// Live orders stay pending for ever.
    pub(crate) stuck: bool,
    pub(crate) faults: VecDeque<Fault>,
    pub(crate) log: Vec<Request>,
    /// Orders in each import request.
    pub(crate) batches: Vec<usize>,
    /// Stop answering imports after so many.
    pub(crate) hang_after: Option<usize>,
    pub(crate) access_life_s: u64,
    access: BTreeSet<String>,
    refresh: BTreeSet<String>,
    issued: u64,
}

/// A request that came in.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
}

/// A failure to come.
pub(crate) struct Fault {
    /// `POST /api/orders`: matches the beginning of method and path.
    pub(crate) on: &'static str,
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    /// Whether the request takes effect before it fails.
    pub(crate) takes_effect: bool,
}

/// A live order.
pub(crate) struct Live {
    pub(crate) id: String,
    pub(crate) body: Value,
    asked: u32,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreIn {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) time_zone: String,
    pub(crate) currency: String,
    pub(crate) business_day_cutoff: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Price {
    pub(crate) amount: i64,
    pub(crate) currency: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ItemIn {
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) product_key: String,
    pub(crate) product_name: String,
    pub(crate) category: String,
    pub(crate) price: Price,
    pub(crate) active: bool,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProductIn {
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) unit: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipeIn {
    pub(crate) lines: Vec<RecipeLineIn>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipeLineIn {
    pub(crate) product_id: String,
    pub(crate) quantity: i64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportIn {
    source: String,
    orders: Vec<ImportedIn>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportedIn {
    pub(crate) external_id: String,
    pub(crate) store_id: String,
    pub(crate) channel: String,
    pub(crate) placed_at_local: String,
    pub(crate) lines: Vec<ImportedLineIn>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportedLineIn {
    pub(crate) item_id: String,
    pub(crate) quantity: i64,
    pub(crate) unit_price: Price,
}

/// Status, body, `Retry-After`.
type Reply = (u16, Value, Option<u64>);

fn ok(body: Value) -> Reply {
    (200, body, None)
}

fn problem(status: u16, code: &str) -> Reply {
    let body = json!({
        "type": "about:blank", "title": code, "status": status, "code": code,
        "detail": format!("This is {code}."), "request_id": "r-1",
    });
    (status, body, None)
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Reply> {
    serde_json::from_slice(body).map_err(|error| {
        let mut reply = problem(400, "malformed_json");
        reply.1["detail"] = json!(error.to_string());
        reply
    })
}

impl World {
    fn tokens(&mut self) -> Reply {
        self.issued += 1;
        let (access, refresh) = (format!("a{}", self.issued), format!("r{}", self.issued));
        self.access.insert(access.clone());
        self.refresh.insert(refresh.clone());
        ok(json!({
            "access_token": access, "refresh_token": refresh, "token_type": "Bearer",
            "expires_in": self.access_life_s,
        }))
    }

    /// Answers imports again, but not those that a client sent before it died and that arrive only
    /// now: its token is worth nothing any more.
    pub(crate) fn recover(&mut self) {
        self.hang_after = None;
        self.revoke_access();
    }

    fn hangs(&self, request: &Request) -> bool {
        let is_import = request.path.ends_with("/import");
        let is_over = |limit| self.batches.len() >= limit;
        is_import && self.hang_after.is_some_and(is_over)
    }

    /// Makes every access token worthless.
    pub(crate) fn revoke_access(&mut self) {
        self.access.clear();
    }

    /// Makes every token worthless.
    pub(crate) fn revoke_sessions(&mut self) {
        self.access.clear();
        self.refresh.clear();
    }

    /// How many requests began with this method and path.
    pub(crate) fn count(&self, on: &str) -> usize {
        let lines = self
            .log
            .iter()
            .map(|request| format!("{} {}", request.method, request.path));
        lines.filter(|line| line.starts_with(on)).count()
    }

    fn answer(&mut self, request: &Request, token: Option<&str>, body: &[u8]) -> Reply {
        let line = format!("{} {}", request.method, request.path);
        let at = self
            .faults
            .iter()
            .position(|fault| line.starts_with(fault.on));
        let fault = at.and_then(|at| self.faults.remove(at));
        if let Some(fault) = fault {
            if fault.takes_effect {
                self.route(request, token, body)
                    .unwrap_or_else(|reply| reply);
            }
            let (status, body, _) = problem(fault.status, "scripted");
            return (status, body, fault.retry_after);
        }
        self.route(request, token, body)
            .unwrap_or_else(|reply| reply)
    }

    fn route(
        &mut self,
        request: &Request,
        token: Option<&str>,
        body: &[u8],
    ) -> Result<Reply, Reply> {
        if let Some(action) = request.path.strip_prefix("/api/auth/") {
            return self.sign_in(action, body);
        }
        if !token.is_some_and(|token| self.access.contains(token)) {
            return Err(problem(401, "invalid_token"));
        }
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["api", "stores"]) => {
                let store: StoreIn = parse(body)?;
                if self.stores.contains_key(&store.id) {
                    return Err(problem(409, "store_exists"));
                }
                self.stores.insert(store.id.clone(), store);
                Ok((201, json!({}), None))
            }
            ("GET", ["api", "stores"]) => Ok(page(query, self.stores.values().map(store_out))),
            ("GET", ["api", "stores", id]) => {
                let store = self
                    .stores
                    .get(*id)
                    .ok_or_else(|| problem(404, "not_found"))?;
                Ok(ok(store_out(store)))
            }
            ("PUT", ["api", "menu", "items", id]) => {
                let item: ItemIn = parse(body)?;
                let mut others = self.items.iter().filter(|(known, _)| known.as_str() != *id);
                if others.any(|(_, known)| known.sku == item.sku) {
                    return Err(problem(409, "sku_taken"));
                }
                self.items.insert((*id).to_owned(), item);
                Ok(ok(json!({})))
            }
            ("PUT", ["api", "inventory", "products", id]) => {
                self.products.insert((*id).to_owned(), parse(body)?);
                Ok(ok(json!({})))
            }
            ("GET", ["api", "inventory", "products"]) => {
                let products = self.products.iter();
                let out = products.map(
                    |(id, product)| json!({"id": id, "unit": product.unit, "name": product.name}),
                );
                Ok(page(query, out))
            }
            ("PUT", ["api", "inventory", "recipes", id]) => {
                let recipe: RecipeIn = parse(body)?;
                if !recipe
                    .lines
                    .iter()
                    .all(|line| self.products.contains_key(&line.product_id))
                {
                    return Err(problem(422, "unknown_product"));
                }
                self.recipes.insert((*id).to_owned(), recipe);
                Ok(ok(json!({})))
            }
            ("POST", ["api", "inventory", "receipts"]) => self.receive(request, body),
            ("POST", ["api", "iot", "devices"]) => {
                let device: Value = parse(body)?;
                let id = device["id"].as_str().unwrap_or_default().to_owned();
                if self.devices.contains_key(&id) {
                    return Err(problem(409, "already_exists"));
                }
                self.devices.insert(id.clone(), device);
                Ok((201, self.credentials(&id), None))
            }
            ("POST", ["api", "iot", "devices", id, "credentials"]) => {
                if !self.devices.contains_key(*id) {
                    return Err(problem(404, "not_found"));
                }
                Ok(ok(self.credentials(id)))
            }
            ("POST", ["api", "orders", "import"]) => self.import(body),
            ("GET", ["api", "orders"]) => Ok(self.list_imported(query)),
            ("POST", ["api", "orders"]) => self.place(request, body),
            ("GET", ["api", "orders", id]) => self.read_live(id),
            _ => Err(problem(404, "not_found")),
        }
    }

    fn sign_in(&mut self, action: &str, body: &[u8]) -> Result<Reply, Reply> {
        let body: Value = parse(body)?;
        match action {
            "login" if body == json!({"email": EMAIL, "password": PASSWORD}) => Ok(self.tokens()),
            "login" => Err(problem(401, "invalid_credentials")),
            "refresh" => {
                let token = body["refresh_token"].as_str().unwrap_or_default();
                let is_known = self.refresh.remove(token);
                is_known
                    .then(|| self.tokens())
                    .ok_or_else(|| problem(401, "invalid_refresh_token"))
            }
            "logout" => Ok((204, Value::Null, None)),
            _ => Err(problem(404, "not_found")),
        }
    }

    fn receive(&mut self, request: &Request, body: &[u8]) -> Result<Reply, Reply> {
        let receipt: Value = parse(body)?;
        let key = request
            .key
            .clone()
            .ok_or_else(|| problem(400, "idempotency_key_missing"))?;
        let known = self.receipts.entry(key).or_insert_with(|| receipt.clone());
        if *known != receipt {
            return Err(problem(422, "idempotency_key_reused"));
        }
        Ok((201, json!({}), None))
    }

    fn import(&mut self, body: &[u8]) -> Result<Reply, Reply> {
        if body.len() > 1024 * 1024 {
            return Err(problem(413, "too_large"));
        }
        let import: ImportIn = parse(body)?;
        let poisoned = |order: &ImportedIn| self.poisoned.contains(&order.external_id);
        if import.orders.is_empty()
            || import.orders.len() > 500
            || import.orders.iter().any(poisoned)
        {
            return Err(problem(422, "invalid_field"));
        }
        self.batches.push(import.orders.len());
        let (mut created, mut duplicates) = (0, 0);
        let mut rejected = Vec::new();
        for (index, order) in import.orders.into_iter().enumerate() {
            let known_items = order
                .lines
                .iter()
                .all(|line| self.items.contains_key(&line.item_id));
            assert!(known_items && self.stores.contains_key(&order.store_id));
            let key = (import.source.clone(), order.external_id.clone());
            match self.imported.get(&key) {
                Some(known) if *known == order => duplicates += 1,
                Some(_) => rejected.push(json!({
                    "index": index, "external_id": order.external_id, "code": "external_id_reused",
                    "detail": "The order is known with other content.",
                })),
                None => {
                    self.imported.insert(key, order);
                    created += 1;
                }
            }
        }
        Ok(ok(
            json!({"created": created, "duplicates": duplicates, "rejected": rejected}),
        ))
    }

    /// A device with a new password; the old one is void.
    fn credentials(&mut self, id: &str) -> Value {
        self.issued += 1;
        let password = format!("p{}", self.issued);
        self.passwords.insert(id.to_owned(), password.clone());
        let store = self.devices[id]["store_id"].as_str().unwrap_or_default();
        let topic = format!("maru/{store}/{id}/telemetry");
        json!({"id": id, "mqtt": {"username": id, "password": password, "topic": topic}})
    }

    fn list_imported(&self, query: &str) -> Reply {
        assert!(query.contains("origin=imported"), "{query}");
        let orders = self.imported.values().enumerate().map(|(index, order)| {
            let line = |line: &ImportedLineIn| {
                json!({"item_id": line.item_id, "quantity": line.quantity, "sku": "x"})
            };
            json!({
                "id": uuid::Uuid::from_u128(index as u128), "store_id": order.store_id,
                "channel": order.channel, "status": "confirmed",
                "lines": order.lines.iter().map(line).collect::<Vec<_>>(),
            })
        });
        page(query, orders)
    }

    fn place(&mut self, request: &Request, body: &[u8]) -> Result<Reply, Reply> {
        let order: Value = parse(body)?;
        let key = request
            .key
            .clone()
            .ok_or_else(|| problem(400, "idempotency_key_missing"))?;
        let number = self.live.len();
        let live = self.live.entry(key).or_insert_with(|| Live {
            id: uuid::Uuid::from_u128(1_000_000 + number as u128).to_string(),
            body: order.clone(),
            asked: 0,
        });
        if live.body != order {
            return Err(problem(422, "idempotency_key_reused"));
        }
        Ok((202, json!({"id": live.id, "status": "pending"}), None))
    }

    fn read_live(&mut self, id: &str) -> Result<Reply, Reply> {
        let stuck = self.stuck;
        let live = self.live.values_mut().find(|live| live.id == id);
        let live = live.ok_or_else(|| problem(404, "not_found"))?;
        live.asked += 1;
        let status = match live.body["payment"]["token"].as_str() {
            _ if live.asked < 2 || stuck => "pending",
            Some("tok_declined") => "cancelled",
            _ => "confirmed",
        };
        let mut out = json!({"id": id, "status": status});
        if status == "cancelled" {
            out["cancel_reason"] = json!("payment_declined");
        }
        Ok(ok(out))
    }
}

fn store_out(store: &StoreIn) -> Value {
    json!({
        "id": store.id, "name": store.name, "time_zone": store.time_zone,
        "currency": store.currency, "business_day_cutoff": store.business_day_cutoff,
    })
}

/// Pages of at most 3 entries, so that lists have several.
fn page(query: &str, all: impl Iterator<Item = Value>) -> Reply {
    let cursor = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("cursor="));
    let start: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
    let mut items: Vec<Value> = all.skip(start).take(4).collect();
    let mut out = json!({});
    if items.len() > 3 {
        items.truncate(3);
        out["next_cursor"] = json!((start + 3).to_string());
    }
    out["items"] = items.into();
    ok(out)
}

/// A running gateway; it stops when dropped.
pub(crate) struct FakeGateway {
    pub(crate) url: String,
    world: Arc<Mutex<World>>,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl FakeGateway {
    pub(crate) fn start() -> Self {
        let world = World {
            access_life_s: 900,
            ..World::default()
        };
        let world = Arc::new(Mutex::new(world));
        let (sender, receiver) = std::sync::mpsc::channel();
        let shared = Arc::clone(&world);
        let thread = std::thread::spawn(move || {
            let server = move || {
                let data = web::Data::from(Arc::clone(&shared));
                let limit = web::PayloadConfig::new(8 * 1024 * 1024);
                App::new()
                    .app_data(data)
                    .app_data(limit)
                    .default_service(web::to(serve))
            };
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(server).workers(1).disable_signals();
                let server = server.bind(("127.0.0.1", 0)).unwrap();
                let address = server.addrs()[0];
                let running = server.run();
                sender.send((address, running.handle())).unwrap();
                running.await.unwrap();
            });
        });
        let (address, handle) = receiver.recv().unwrap();
        Self {
            url: format!("http://{address}"),
            world,
            handle,
            thread: Some(thread),
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Fails the next requests of this kind.
    pub(crate) fn fail(&self, on: &'static str, times: usize, status: u16, takes_effect: bool) {
        for _ in 0..times {
            self.world().faults.push_back(Fault {
                on,
                status,
                retry_after: None,
                takes_effect,
            });
        }
    }
}

impl Drop for FakeGateway {
    fn drop(&mut self) {
        // The stop is signalled at once; the future only waits for it.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

async fn serve(
    request: HttpRequest,
    body: web::Bytes,
    world: web::Data<Mutex<World>>,
) -> HttpResponse {
    let header = |name: &str| {
        let value = request.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let token = header("authorization");
    let token = token
        .as_deref()
        .and_then(|value| value.strip_prefix("Bearer "));
    let entry = Request {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        key: header("idempotency-key"),
    };
    let reply = {
        let mut world = world.lock().unwrap();
        if world.hangs(&entry) {
            None
        } else {
            world.log.push(entry.clone());
            Some(world.answer(&entry, token, &body))
        }
    };
    let Some((status, out, retry_after)) = reply else {
        return std::future::pending().await;
    };
    let mut response = HttpResponse::build(StatusCode::from_u16(status).unwrap());
    if let Some(seconds) = retry_after {
        response.insert_header(("retry-after", seconds.to_string()));
    }
    if status == 204 {
        response.finish()
    } else {
        response.json(out)
    }
}
