import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Registries } from "../../src/registry/client.ts";
import { listTags } from "../../src/registry/tags.ts";
import { image, seed } from "../support/content.ts";
import { faultOf, textOf } from "../support/faults.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { connect } from "./connect.ts";

let registry: TestRegistry;
let answer: ((url: URL) => Response | undefined) | undefined;
let registries: Registries;

beforeEach(async () => {
  registry = await startRegistry({ intercept: (_, url) => answer?.(url) });
  registries = connect({ urls: [registry.url] });
});
afterEach(async () => {
  answer = undefined;
  await registry.stop();
});

function list(repository = "a/b"): Promise<string[]> {
  return listTags(registries, { registry: registry.host, repository });
}

/** Answers lists of tags alone. */
function listing(body: (last: string | null) => Response): void {
  answer = (url) => (url.pathname.endsWith("/tags/list") ? body(url.searchParams.get("last")) : undefined);
}

describe("the tags of a repository", () => {
  test("are all there, over as many pages as it takes", async () => {
    const tags = ["one", "two", "three", "four"];
    listing((last) => {
      const at = last === null ? 0 : tags.indexOf(last) + 1;
      const headers = { link: `</v2/a/b/tags/list?last=${tags[at]}>; rel="next"` };
      return Response.json({ tags: [tags[at]] }, at < tags.length - 1 ? { headers } : {});
    });
    expect(await list()).toEqual(tags);
  });

  test("are what was pushed", async () => {
    const content = await image({ seed: "x" });
    for (const tag of ["v1", "v2"]) await seed(registry.store, "a/b", tag, content);
    expect((await list()).sort()).toEqual(["v1", "v2"]);
  });

  test("are none where there is no such repository, or nothing in it", async () => {
    expect(await list("no/such")).toEqual([]);
    listing(() => Response.json({ name: "a/b", tags: null }));
    expect(await list()).toEqual([]);
  });

  test("that no registry could have are left out", async () => {
    listing(() => Response.json({ tags: ["../x", 1, "v1", "", "a".repeat(200)] }));
    expect(await list()).toEqual(["v1"]);
  });

  test.each<[string, () => Response, string]>([
    ["a refusal", () => new Response("no", { status: 403 }), "answered 403"],
    ["a page of another kind", () => new Response("<html>"), "cannot read what"],
    ["another list", () => Response.json([]), "it has no `tags`"],
    [
      "a list that goes on elsewhere",
      () => Response.json({ tags: [] }, { headers: { link: '<https://evil.example/>; rel="next"' } }),
      "goes on somewhere else",
    ],
  ])("%s is a failure", async (_, body, says) => {
    listing(body);
    expect(textOf(await faultOf(() => list()))).toContain(says);
  });

  test("never ending are a failure", async () => {
    let page = 0;
    listing(() => {
      const headers = { link: `</v2/a/b/tags/list?last=${++page}>; rel="next"` };
      return Response.json({ tags: [`t${page}`] }, { headers });
    });
    expect(textOf(await faultOf(() => list()))).toContain("there is no end");
  });
});
