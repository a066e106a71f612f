// What a program that knows Consul does, with Consul's own client for Node.
const assert = require("node:assert");
const Consul = require("consul");

const port = Number(process.env.SERVICE_PORT);
const consul = new Consul({
  host: "127.0.0.1",
  port: Number(process.env.GATEWAY_PORT),
  defaults: { token: process.env.CONSUL_TOKEN },
});

async function main() {
  // A watch is told of every change by a blocking query.
  const watch = consul.watch({
    method: consul.health.service,
    options: { service: "node-web", passing: true, wait: "5s" },
  });
  let known = [];
  const waiting = [];
  watch.on("change", (services) => {
    known = services;
    waiting.splice(0).forEach((wake) => wake());
  });
  watch.on("error", (error) => {
    throw error;
  });
  const until = async (count) => {
    while (known.length !== count) await new Promise((wake) => waiting.push(wake));
  };

  await consul.agent.service.register({
    name: "node-web",
    id: "node-web-1",
    address: "127.0.0.1",
    port,
    tags: ["blue"],
    meta: { language: "js" },
    check: { ttl: "10s", deregistercriticalserviceafter: "1m" },
  });
  assert.deepStrictEqual(await consul.health.service({ service: "node-web", passing: true }), []);
  await consul.agent.check.pass({ id: "service:node-web-1", note: "here" });
  await until(1);
  assert.strictEqual(known[0].Service.Port, port);
  assert.deepStrictEqual(known[0].Service.Meta, { language: "js" });
  assert.strictEqual(known[0].Checks[0].Status, "passing");

  const services = await consul.agent.service.list();
  assert.strictEqual(services["node-web-1"].Service, "node-web");
  const names = await consul.catalog.service.list();
  assert.deepStrictEqual(names["node-web"], ["blue"]);
  const nodes = await consul.catalog.service.nodes("node-web");
  assert.strictEqual(nodes[0].ServicePort, port);

  await consul.agent.check.warn("service:node-web-1");
  await until(0);
  await consul.agent.check.fail("service:node-web-1");
  await consul.agent.check.pass("service:node-web-1");
  await until(1);
  await consul.agent.service.deregister("node-web-1");
  await until(0);
  watch.end();

  await assert.rejects(
    consul.agent.service.register({ name: "evil", address: "169.254.169.254", port: 80 }),
  );
  await assert.rejects(consul.agent.service.list({ token: "wrong" }), /403|forbidden/i);
}

main().then(
  () => {
    console.log("all well");
    process.exit(0);
  },
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
