import { expect, test } from "bun:test";
import { digestOf } from "../../src/oci/digest.ts";
import type { Node } from "../../src/oci/plan.ts";
import type { RepositoryName } from "../../src/oci/reference.ts";
import { locate } from "../../src/registry/locate.ts";
import { image, seed } from "../support/content.ts";
import { faultOf } from "../support/faults.ts";
import { startRegistry, type TestRegistryOptions } from "../support/registry.ts";
import { connect } from "./connect.ts";
import { stoppedAfterEach } from "./started.ts";

const started = stoppedAfterEach();

/** A registry with an image in `other/one`, one of its blobs as wanted by `a/b`, and a blob that is nowhere. */
async function scene(options: TestRegistryOptions = {}) {
  const registry = await started(startRegistry(options));
  const content = await image({ seed: "one" });
  await seed(registry.store, "other/one", "v1", content);
  const name = (repository: string): RepositoryName => `${registry.host}/${repository}`;
  const node = (digest: Node["descriptor"]["digest"]): Node => ({
    descriptor: { mediaType: "application/octet-stream", digest, size: 1 },
    kind: "blob",
    children: [],
    repositories: new Set([name("a/b")]),
  });
  const [held] = [...content.blobs.keys()];
  if (held === undefined) throw new Error("no blob");
  const absent = digestOf(new TextEncoder().encode("nowhere"));
  return {
    registries: connect({ urls: [registry.url] }),
    name,
    held,
    absent,
    nodes: [node(held), node(absent)],
  };
}

test("a blob is found where the graph has it, and what is nowhere is not in the answer", async () => {
  const { registries, name, held, nodes } = await scene();
  const found = await locate(registries, nodes, [name("a/b"), name("other/two"), name("other/one")]);
  expect([...found]).toEqual([[held, name("other/one")]]);
});

test("a repository that may not be read is one that does not have it, unless it wants the blob", async () => {
  const denied = (path: string): TestRegistryOptions => ({
    intercept: (_, url) => (url.pathname.includes(path) ? new Response(null, { status: 403 }) : undefined),
  });
  const one = await scene(denied("/secret/"));
  const found = await locate(one.registries, one.nodes, [one.name("secret/x"), one.name("other/one")]);
  expect([...found.keys()]).toEqual([one.held]);
  const other = await scene(denied("/a/b/"));
  await faultOf(() => locate(other.registries, other.nodes, [other.name("other/one")]));
});

test("a registry that has nothing is not asked for each blob in each repository", async () => {
  let asked = 0;
  const { registries, name, nodes } = await scene({
    intercept: (_, url) => {
      if (!url.pathname.includes("/blobs/")) return;
      asked++;
      return new Response(null, { status: 404 });
    },
  });
  const [node] = nodes;
  if (node === undefined) throw new Error("no node");
  const many = Array.from({ length: 50 }, (_, index) => ({
    ...node,
    descriptor: { ...node.descriptor, digest: digestOf(new TextEncoder().encode(String(index))) },
  }));
  const others = Array.from({ length: 50 }, (_, index) => name(`other/${index}`));
  expect((await locate(registries, many, others)).size).toBe(0);
  expect(asked).toBeLessThan(100);
});
