//! `maru gateway`: no gateway has to run for it.

use std::path::Path;
use std::process::Command;

fn run(words: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_maru"))
        .arg("gateway")
        .args(words)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap_or(-1);
    (code, text(output.stdout), text(output.stderr))
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_good_file_passes_and_a_bad_one_is_told_line_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let good = written(folder.path(), "good.toml", routing::DEFAULT_FILE);
    let (code, out, err) = run(&["check", &good]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("no fault"), "{out}");
    let bad = written(
        folder.path(),
        "bad.toml",
        "[[routes]]\nprefix = \"/a/\"\nservice = \"nobody\"\n",
    );
    let (code, out, err) = run(&["check", &bad]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains("bad.toml: line 2, column 10: routes[0].prefix: must not end"),
        "{err}"
    );
    assert!(
        err.contains("bad.toml: line 3, column 11: routes[0].service: there is no"),
        "{err}"
    );
    let (code, _, err) = run(&["check", "/nowhere/gateway.toml"]);
    assert_eq!(code, 1);
    assert!(err.contains("reading /nowhere/gateway.toml"), "{err}");
}

#[test]
fn a_kong_file_becomes_a_file_that_passes_and_the_rest_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let kong = written(
        folder.path(),
        "kong.yml",
        "_format_version: '3.0'\nservices:\n- name: shop\n  url: http://shop.local\n  retries: 3\n  tls_verify: true\n  routes:\n  - name: shop\n    paths: [/shop]\n",
    );
    let output = folder.path().join("gateway.toml").display().to_string();
    let (code, out, err) = run(&["import", &kong, "--output", &output]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(
        err.contains("service shop: `tls_verify` was not converted"),
        "{err}"
    );
    assert_eq!(run(&["check", &output]).0, 0);
    let converted = std::fs::read_to_string(&output).unwrap();
    assert!(converted.contains("attempts = 4"), "{converted}");
    let (code, out, _) = run(&["import", &kong]);
    assert_eq!(code, 0);
    assert_eq!(out, std::fs::read_to_string(&output).unwrap());
    let other = written(folder.path(), "other.yml", "a: 1\n");
    let (code, _, err) = run(&["import", &other]);
    assert_eq!(code, 1);
    assert!(err.contains("not a Kong declarative file"), "{err}");
}
