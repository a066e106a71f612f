use super::*;

fn document(operation_id: &str) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {"title": "one", "version": "1"},
        "servers": [{"url": "http://127.0.0.1:5004"}],
        "security": [{"token": []}],
        "tags": [{"name": "things", "description": "Things."}],
        "paths": {
            "/api/things": {
                "servers": [{"url": "http://127.0.0.1:5004"}],
                "get": {
                    "operationId": operation_id,
                    "tags": ["things"],
                    "responses": {"200": {"content": {"application/json": {
                        "schema": {"$ref": "#/components/schemas/Thing"},
                        "example": {"$ref": "#/components/schemas/Thing"}
                    }}}}
                },
                "post": {"operationId": "save", "security": [{"key": []}, {}], "responses": {}}
            },
            "/api/things/{id}": {"put": {"operationId": "save", "responses": {}}},
            "/internal/things": {"get": {"responses": {}}}
        },
        "components": {
            "schemas": {
                "Thing": {"oneOf": [{"$ref": "#/components/schemas/Part"}], "discriminator": {
                    "propertyName": "kind", "mapping": {"part": "#/components/schemas/Part"}}},
                "Part": {"type": "object"}
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-Key"}
            }
        }
    })
}

fn joined() -> Value {
    let mut joined = Joined::new(&json!({"info": {"title": "all", "version": "2"}}));
    let mut other = document("list");
    let paths = entries(other.get_mut("paths"));
    let renamed = paths.map(|(path, item)| (path.replace("things", "others"), item));
    other["paths"] = Value::Object(renamed.collect());
    joined.add("order", document("list"), |path| path.starts_with("/api/"));
    joined.add("iot", other, |path| path.starts_with("/api/"));
    joined.finish()
}

/// Every `$ref` in the document, except in examples.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(object) => {
            for (key, inner) in object {
                match inner {
                    Value::String(text) if key == "$ref" => found.push(text.clone()),
                    _ if key == "example" => {}
                    _ => references(inner, found),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn equal_names_of_two_services_stay_apart() {
    let joined = joined();
    let schemas = joined["components"]["schemas"].as_object().unwrap();
    let names: Vec<&String> = schemas.keys().collect();
    assert_eq!(
        names,
        ["iot.Part", "iot.Thing", "order.Part", "order.Thing"]
    );
    let mut found = Vec::new();
    references(&joined, &mut found);
    assert_eq!(found.len(), 4);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(
            joined.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
    let mapping = joined.pointer("/components/schemas/order.Thing/discriminator/mapping/part");
    assert_eq!(mapping, Some(&json!("#/components/schemas/order.Part")));
    let example =
        joined.pointer("/paths/~1api~1things/get/responses/200/content/application~1json/example");
    assert_eq!(
        example,
        Some(&json!({"$ref": "#/components/schemas/Thing"}))
    );
}

#[test]
fn every_operation_id_is_used_once() {
    let joined = joined();
    let mut ids = Vec::new();
    for item in joined["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            ids.push(operation["operationId"].as_str().unwrap().to_owned());
        }
    }
    ids.sort();
    let expected = [
        "iot.list",
        "iot.post_others",
        "iot.put_others_id",
        "order.list",
        "order.post_things",
        "order.put_things_id",
    ];
    assert_eq!(ids, expected);
}

#[test]
fn only_public_paths_and_the_gateway_s_address_are_shown() {
    let joined = joined();
    let paths: Vec<&String> = joined["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/api/others",
            "/api/others/{id}",
            "/api/things",
            "/api/things/{id}"
        ]
    );
    assert!(!joined.to_string().contains("127.0.0.1"));
    assert_eq!(joined["servers"], json!([{"url": "/"}]));
    assert_eq!(joined["info"]["title"], "all");
}

#[test]
fn there_is_one_bearer_scheme_and_security_is_kept() {
    let joined = joined();
    let schemes = joined["components"]["securitySchemes"].as_object().unwrap();
    let names: Vec<&String> = schemes.keys().collect();
    assert_eq!(names, ["bearer", "iot.key", "order.key"]);
    assert_eq!(
        joined["paths"]["/api/things"]["get"]["security"],
        json!([{"bearer": []}])
    );
    assert_eq!(
        joined["paths"]["/api/things"]["post"]["security"],
        json!([{"order.key": []}, {}])
    );
    assert_eq!(
        joined["paths"]["/api/things"]["get"]["tags"],
        json!(["order: things"])
    );
    assert_eq!(
        joined["paths"]["/api/things"]["post"]["tags"],
        json!(["order"])
    );
}

#[test]
fn what_is_no_document_adds_nothing() {
    for nonsense in [
        json!(null),
        json!([]),
        json!({"paths": []}),
        json!({"paths": {"/api/x": 1}, "components": 3}),
    ] {
        let mut joined = Joined::new(&json!({}));
        joined.add("order", nonsense, |_| true);
        assert!(joined.finish()["components"]["securitySchemes"]["bearer"].is_object());
    }
}
