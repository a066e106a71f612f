// A passkey in a real browser, kept by a virtual authenticator: registered, used through the API and on
// the login page, refused when it is replayed or did not verify its person.

import { chromium } from "playwright-core";
import { assert, told } from "./provider.mjs";

const browser = await chromium.launch({
  executablePath: told.chromium,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
try {
  await run(await browser.newContext({ viewport: { width: 900, height: 900 } }));
  console.log("passkey: done");
} finally {
  await browser.close();
}

async function run(context) {
  const page = await context.newPage();
  const errors = [];
  page.on("console", (line) => line.type() === "error" && errors.push(line.text()));
  const devtools = await context.newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  const { authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  // Any page of the provider: passkeys belong to its origin.
  await page.goto(`${told.issuer}/oauth/end_session`);
  await shoot(page, "signed-out");

  const phone = { token: told.access_token, name: "Phone", password: told.password };
  const registered = await page.evaluate(register, phone);
  assert(registered.status === 201, `registered: ${JSON.stringify(registered)}`);
  const { credentials } = await devtools.send("WebAuthn.getCredentials", { authenticatorId });
  assert(credentials.length === 1 && credentials[0].isResidentCredential, "not discoverable");
  const twice = await page.evaluate(register, phone);
  assert(twice.error === "InvalidStateError", `a second one: ${JSON.stringify(twice)}`);

  const half = await page.evaluate(logInWithPassword, { email: told.email, password: told.password });
  assert(half.mfa_required && !half.access_token, `the password alone: ${JSON.stringify(half)}`);
  assert(half.methods.join() === "passkey", `other methods: ${half.methods}`);
  const first = await page.evaluate(logIn);
  assert(first.status === 200 && first.body.access_token, `log in: ${JSON.stringify(first)}`);
  assert(first.replayed === 401, `replayed: ${first.replayed}`);
  const listed = await page.evaluate(list, first.body.access_token);
  assert(listed.items.length === 1 && listed.items[0].last_used_at, JSON.stringify(listed));

  // The authenticator's counter went backwards: somebody has copied it.
  const [credential] = (await devtools.send("WebAuthn.getCredentials", { authenticatorId })).credentials;
  await devtools.send("WebAuthn.clearCredentials", { authenticatorId });
  await devtools.send("WebAuthn.addCredential", { authenticatorId, credential: { ...credential, signCount: 0 } });
  const copied = await page.evaluate(logIn);
  assert(copied.status === 401, `a copied key: ${JSON.stringify(copied)}`);
  await devtools.send("WebAuthn.clearCredentials", { authenticatorId });
  await devtools.send("WebAuthn.addCredential", { authenticatorId, credential: { ...credential, signCount: 100 } });

  await page.goto(told.authorize_url);
  await shoot(page, "login");
  await devtools.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: false });
  await page.getByRole("button", { name: "Use a passkey" }).click();
  await page.getByText("The passkey could not be used.").waitFor();
  await shoot(page, "login-problem");
  await devtools.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: true });
  await page.getByRole("button", { name: "Use a passkey" }).click();
  await page.getByRole("heading", { name: /^Allow .* to act for you\?$/ }).waitFor();
  await shoot(page, "consent");
  await page.emulateMedia({ colorScheme: "dark" });
  await shoot(page, "consent-dark");

  // Nobody listens at the application's address: what counts is that the browser goes there.
  const returned = page.waitForRequest((request) => request.url().startsWith(told.redirect_uri));
  await page.getByRole("button", { name: "Allow", exact: true }).click();
  const answer = new URL((await returned).url()).searchParams;
  assert(answer.get("code") && answer.get("iss") === told.issuer, `sent back with ${answer}`);
  const blocked = errors.filter((line) => line.includes("Content Security Policy"));
  assert(blocked.length === 0, `the page's own policy stopped it: ${blocked}`);
  console.log(JSON.stringify({ code: answer.get("code") }));
}

async function shoot(page, name) {
  if (told.screenshots) await page.screenshot({ path: `${told.screenshots}/${name}.png` });
}

async function logInWithPassword(credentials) {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify(credentials);
  return (await fetch("/api/auth/login", { method: "POST", headers, body })).json();
}

async function register({ token, name, password }) {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const post = (path, body) =>
    fetch(`/api/auth/passkeys/register/${path}`, { method: "POST", headers, body });
  const { ceremony_id, options } = await (await post("start", JSON.stringify({ password }))).json();
  try {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
    const credential = (await navigator.credentials.create({ publicKey })).toJSON();
    const answer = await post("finish", JSON.stringify({ ceremony_id, name, credential }));
    return { status: answer.status, body: await answer.json() };
  } catch (error) {
    return { error: error.name, message: error.message };
  }
}

async function logIn() {
  const begun = await fetch("/api/auth/passkeys/login/start", { method: "POST" });
  const { ceremony_id, options } = await begun.json();
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  const credential = (await navigator.credentials.get({ publicKey })).toJSON();
  const finish = () =>
    fetch("/api/auth/passkeys/login/finish", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ceremony_id, credential }),
    });
  const answer = await finish();
  const body = await answer.json();
  return { status: answer.status, body, replayed: (await finish()).status };
}

async function list(token) {
  const headers = { authorization: `Bearer ${token}` };
  return (await fetch("/api/auth/passkeys", { headers })).json();
}
