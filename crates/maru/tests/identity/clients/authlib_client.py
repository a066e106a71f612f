"""The PyPI package authlib, unmodified: code flow with PKCE, refresh, userinfo, revocation, logout,
and the client credentials grant."""

import json
import os
import re
import secrets
from urllib.parse import parse_qs, urljoin, urlsplit

import requests
from authlib.integrations.requests_client import OAuth2Session, OAuthError
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata, get_well_known_url
from joserfc import jwt
from joserfc.jwk import KeySet

TOLD = json.loads(os.environ["MARU_TEST"])
ISSUER = TOLD["issuer"]


def walk(browser, url):
    """Signs in and allows where asked; returns the address outside the provider that comes at last."""
    answer = browser.get(url, allow_redirects=False)
    for _ in range(6):
        if answer.status_code == 303:
            to = urljoin(ISSUER, answer.headers["location"])
            if not to.startswith(ISSUER + "/"):
                return to
            answer = browser.get(to, allow_redirects=False)
            continue
        ticket = re.search(r'name="ticket" value="([^"]*)"', answer.text)
        assert ticket, f"no form in the answer {answer.status_code}: {answer.text}"
        fields = {"ticket": ticket[1]}
        if 'name="password"' in answer.text:
            path, more = "/oauth/login", {"email": TOLD["email"], "password": TOLD["password"]}
        else:
            path, more = "/oauth/consent", {"decision": "allow"}
        answer = browser.post(ISSUER + path, data=fields | more, allow_redirects=False)
    raise AssertionError("the pages do not end")


def identity(token, keys, metadata, nonce):
    """The verified claims of an ID token. The algorithm is the one that the provider announces."""
    decoded = jwt.decode(
        token["id_token"], keys, algorithms=metadata["id_token_signing_alg_values_supported"]
    )
    options = {
        "iss": {"essential": True, "value": ISSUER},
        "aud": {"essential": True, "value": TOLD["client_id"]},
    }
    params = {"nonce": nonce, "client_id": TOLD["client_id"], "access_token": token["access_token"]}
    claims = CodeIDToken(decoded.claims, decoded.header, options, params)
    claims.validate()
    return claims


metadata = requests.get(get_well_known_url(ISSUER, external=True), timeout=20).json()
OpenIDProviderMetadata(metadata)
assert metadata["issuer"] == ISSUER
keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=20).json())

client = OAuth2Session(
    TOLD["client_id"],
    TOLD["client_secret"],
    scope="openid profile email offline_access orders:read",
    redirect_uri=TOLD["redirect_uri"],
    code_challenge_method="S256",
    token_endpoint_auth_method="client_secret_post",
    revocation_endpoint_auth_method="client_secret_post",
)
verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
url, state = client.create_authorization_url(
    metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce
)
browser = requests.Session()
callback = walk(browser, url)
answer = parse_qs(urlsplit(callback).query)
assert answer["iss"] == [ISSUER]

token = client.fetch_token(
    metadata["token_endpoint"], authorization_response=callback, state=state, code_verifier=verifier
)
claims = identity(token, keys, metadata, nonce)
info = client.get(metadata["userinfo_endpoint"]).json()
assert info["sub"] == claims["sub"] and info["email"] == TOLD["email"], info

renewed = client.refresh_token(metadata["token_endpoint"])
assert renewed["refresh_token"] != token["refresh_token"]
assert identity(renewed, keys, metadata, None)["sub"] == claims["sub"]
assert client.get(metadata["userinfo_endpoint"]).status_code == 200

revoked = client.revoke_token(metadata["revocation_endpoint"], token=renewed["refresh_token"])
assert revoked.status_code == 200, revoked.text
try:
    client.refresh_token(metadata["token_endpoint"], refresh_token=renewed["refresh_token"])
    raise AssertionError("a revoked refresh token was taken")
except OAuthError as error:
    assert error.error == "invalid_grant", error

for method in ("client_secret_basic", "client_secret_post"):
    program = OAuth2Session(
        TOLD["client_id"], TOLD["client_secret"], token_endpoint_auth_method=method
    )
    own = program.fetch_token(
        metadata["token_endpoint"], grant_type="client_credentials", scope="orders:read"
    )
    assert own["scope"] == "orders:read" and "refresh_token" not in own, own

out = browser.get(
    metadata["end_session_endpoint"],
    params={
        "id_token_hint": renewed["id_token"],
        "post_logout_redirect_uri": TOLD["after_logout"],
        "state": "bye",
    },
    allow_redirects=False,
)
assert out.headers["location"] == TOLD["after_logout"] + "?state=bye", out.text
print("authlib: done")
