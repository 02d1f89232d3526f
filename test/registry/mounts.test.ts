import { expect, test } from "bun:test";
import { digestOf } from "../../src/oci/digest.ts";
import { Fault } from "../../src/oci/fault.ts";
import { Mounts } from "../../src/registry/mounts.ts";
import { UploadManner } from "../../src/registry/upload-manner.ts";
import type { UploadTarget } from "../../src/registry/upload-target.ts";
import { faultOf } from "../support/faults.ts";
import { startRegistry } from "../support/registry.ts";
import { connect } from "./connect.ts";
import { stoppedAfterEach } from "./started.ts";

const DIGEST = digestOf(new Uint8Array(1));

const started = stoppedAfterEach();

test("a run that is stopped during a mount stops there", async () => {
  const stopping = new AbortController();
  const registry = await started(
    startRegistry({
      intercept: (request) => {
        if (request.method !== "POST") return;
        stopping.abort(new Fault("cannot go on: the run was interrupted"));
        return new Response(null, { status: 405 });
      },
    }),
  );
  const client = connect({ urls: [registry.url], signal: stopping.signal }).client(registry.host);
  const [to, from] = ["b", "a"].map((repository): UploadTarget => {
    const scopes = [{ repository, actions: "pull,push" }] as const;
    return { client, repository, scopes, manner: new UploadManner(), warn: () => {} };
  });
  if (to === undefined || from === undefined) throw new Error("there are two");
  const fault = await faultOf(() => new Mounts().mount(to, [from], DIGEST));
  expect(fault.message).toBe("cannot go on: the run was interrupted");
});
