// The npm package openid-client, unmodified: code flow with PKCE, refresh, userinfo, revocation, logout, and
// the client credentials grant.

import * as oidc from "openid-client";
import { Browser, assert, told } from "./provider.mjs";

// http is for this machine alone; the library asks to say so.
const config = await oidc.discovery(
  new URL(told.issuer),
  told.client_id,
  undefined,
  told.client_secret ? oidc.ClientSecretBasic(told.client_secret) : oidc.None(),
  { execute: [oidc.allowInsecureRequests] },
);

const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
const expectedState = oidc.randomState();
const expectedNonce = oidc.randomNonce();
const url = oidc.buildAuthorizationUrl(config, {
  redirect_uri: told.redirect_uri,
  scope: "openid profile email offline_access orders:read",
  code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: "S256",
  state: expectedState,
  nonce: expectedNonce,
  max_age: "300",
});

const browser = new Browser();
const callback = await browser.walk(url);
const tokens = await oidc.authorizationCodeGrant(config, callback, {
  pkceCodeVerifier,
  expectedState,
  expectedNonce,
  maxAge: 300,
  idTokenExpected: true,
});
const claims = tokens.claims();
assert(claims.aud === told.client_id, "the ID token is for somebody else");
assert(claims.at_hash && claims.sid && claims.auth_time, "the ID token lacks claims");

const info = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub);
assert(info.email === told.email, `userinfo says ${JSON.stringify(info)}`);

const renewed = await oidc.refreshTokenGrant(config, tokens.refresh_token);
assert(renewed.refresh_token !== tokens.refresh_token, "the refresh token was not rotated");
assert(renewed.claims().sub === claims.sub, "the refreshed ID token is somebody else's");
await oidc.fetchUserInfo(config, renewed.access_token, claims.sub);

await oidc.tokenRevocation(config, renewed.refresh_token);
const refused = await oidc.refreshTokenGrant(config, renewed.refresh_token).catch((error) => error);
assert(refused.error === "invalid_grant", `a revoked token is answered ${refused}`);

if (told.client_secret) {
  const own = await oidc.clientCredentialsGrant(config, { scope: "orders:read inventory:read" });
  assert(own.scope === "inventory:read orders:read", `for itself it may ${own.scope}`);
  assert(own.expires_in === 600 && !own.refresh_token && !own.id_token, "more than an access token");
  await oidc.tokenRevocation(config, own.access_token);
  const more = await oidc.clientCredentialsGrant(config, { scope: "menu:write" }).catch((error) => error);
  assert(more.error === "invalid_scope", `a scope that it does not have is answered ${more}`);
}

const bye = oidc.buildEndSessionUrl(config, {
  post_logout_redirect_uri: told.after_logout,
  id_token_hint: renewed.id_token,
  state: "bye",
});
const out = await browser.fetch(bye);
assert(out.headers.get("location") === `${told.after_logout}?state=bye`, "not sent back");
const again = new URL(url);
again.searchParams.set("prompt", "none");
const answer = await browser.fetch(again);
const error = new URL(answer.headers.get("location")).searchParams.get("error");
assert(error === "login_required", `after the logout: ${error}`);
console.log("openid-client: done");
