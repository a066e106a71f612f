"use strict";
// A passkey is asked for by script; everything else on the page works without.
(() => {
  const able = globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON;
  if (!able) return;
  const form = document.getElementById("with-passkey");
  const problem = document.getElementById("passkey-problem");
  const button = form.querySelector("button");
  document.getElementById("passkeys").hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.hidden = true;
    button.disabled = true;
    try {
      const begun = await fetch("/api/auth/passkeys/login/start", { method: "POST" });
      if (!begun.ok) throw new Error("the ceremony could not be begun");
      const { ceremony_id, options } = await begun.json();
      const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
      const credential = await navigator.credentials.get({ publicKey });
      form.elements.ceremony.value = ceremony_id;
      form.elements.passkey.value = JSON.stringify(credential.toJSON());
      form.submit();
    } catch {
      problem.hidden = false;
      button.disabled = false;
      button.focus();
    }
  });
})();
