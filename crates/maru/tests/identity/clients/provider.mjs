// What the scripts share: what the test told them, and a walk through the provider's pages without a
// browser.

/** What the test says: issuer, client_id, client_secret, redirect_uri, after_logout, email, password. */
export const told = JSON.parse(process.env.MARU_TEST);

export function assert(holds, message) {
  if (!holds) throw new Error(message);
}

/** A browser as far as the pages need one: cookies and forms. */
export class Browser {
  cookies = new Map();

  async fetch(url, options = {}) {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const headers = { ...options.headers, cookie };
    const answer = await fetch(url, { ...options, headers, redirect: "manual" });
    for (const line of answer.headers.getSetCookie()) {
      const [pair] = line.split(";");
      const at = pair.indexOf("=");
      this.cookies.set(pair.slice(0, at), pair.slice(at + 1));
    }
    return answer;
  }

  post(path, fields) {
    return this.fetch(new URL(path, told.issuer), {
      method: "POST",
      body: new URLSearchParams(fields),
    });
  }

  /** Signs in and allows where asked; returns the address outside the provider that comes at last. */
  async walk(url) {
    let answer = await this.fetch(url);
    for (let step = 0; step < 6; step += 1) {
      if (answer.status === 303) {
        const to = new URL(answer.headers.get("location"), told.issuer);
        if (to.origin !== told.issuer) return to;
        answer = await this.fetch(to);
        continue;
      }
      const page = await answer.text();
      const ticket = page.match(/name="ticket" value="([^"]*)"/)?.[1];
      assert(ticket, `no form in the answer ${answer.status}: ${page}`);
      const { email, password } = told;
      answer = page.includes('name="password"')
        ? await this.post("/oauth/login", { ticket, email, password })
        : await this.post("/oauth/consent", { ticket, decision: "allow" });
    }
    throw new Error("the pages do not end");
  }
}
