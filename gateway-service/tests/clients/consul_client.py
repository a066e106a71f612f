"""What a program that knows Consul does, with Consul's client for Python."""

import os

import consul

port = int(os.environ["SERVICE_PORT"])
client = consul.Consul(
    host="127.0.0.1", port=int(os.environ["GATEWAY_PORT"]), token=os.environ["CONSUL_TOKEN"]
)

index, services = client.health.service("py-web", passing=True)
assert services == [], services

assert client.agent.service.register(
    "py-web",
    service_id="py-web-1",
    address="127.0.0.1",
    port=port,
    tags=["green"],
    meta={"language": "python"},
    check=consul.Check.ttl("10s"),
)
assert client.agent.check.ttl_pass("service:py-web-1", notes="here")
index, services = client.health.service("py-web", passing=True)
assert services[0]["Service"]["Port"] == port, services
assert services[0]["Service"]["Meta"] == {"language": "python"}, services
assert services[0]["Checks"][0]["Output"] == "here", services

assert client.agent.services()["py-web-1"]["Service"] == "py-web"
_, names = client.catalog.services()
assert names["py-web"] == ["green"], names
_, nodes = client.catalog.service("py-web")
assert nodes[0]["ServicePort"] == port, nodes

assert client.agent.check.ttl_warn("service:py-web-1")
assert client.agent.check.ttl_fail("service:py-web-1")
_, services = client.health.service("py-web", passing=True)
assert services == [], services

# An HTTP check is made by the gateway; a blocking query returns when it has passed.
assert client.agent.service.register(
    "py-http",
    service_id="py-http-1",
    address="127.0.0.1",
    port=port,
    check=consul.Check.http(
        f"http://127.0.0.1:{port}/health", interval="200ms", timeout="1s", deregister="1m"
    ),
)
index, services = client.health.service("py-http", passing=True)
while not services:
    before = index
    index, services = client.health.service("py-http", passing=True, index=index, wait="10s")
    assert index != before, "the query came back without a change"
assert services[0]["Checks"][0]["Type"] == "http", services

assert client.agent.service.deregister("py-web-1")
assert client.agent.service.deregister("py-http-1")
_, names = client.catalog.services()
assert names == {}, names

try:
    client.agent.service.register("evil", address="169.254.169.254", port=80)
    raise AssertionError("a metadata address was registered")
except consul.ConsulException:
    pass

print("all well")
