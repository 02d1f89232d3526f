import { expect, test } from "bun:test";
import { MEDIA_TYPE } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { sendManifest } from "../../src/registry/sink-manifests.ts";
import { UploadManner } from "../../src/registry/upload-manner.ts";
import { startRegistry } from "../support/registry.ts";
import { connect } from "./connect.ts";
import { expectStored, send, uploadSteps } from "./send-blob.ts";
import { stoppedAfterEach } from "./started.ts";

const started = stoppedAfterEach();
const STALL_AFTER = 100;

/** Is slow to answer the first PUT, as after the last byte of a large blob. */
function startLate() {
  let puts = 0;
  return started(
    startRegistry({
      intercept: async ({ method }) => {
        if (method === "PUT" && puts++ === 0) await Bun.sleep(9 * STALL_AFTER);
        return undefined;
      },
    }),
  );
}

test("a registry may take its time to hash a blob", async () => {
  const registry = await startLate();
  await send(registry.url, { stallAfter: STALL_AFTER });
  expect(uploadSteps(registry)).toEqual(["POST", "PATCH", "PUT"]);
  await expectStored(registry);
});

test("a manifest is small: a registry that is as slow to take one is asked again", async () => {
  const registry = await startLate();
  const bytes = new TextEncoder().encode('{"schemaVersion":2,"manifests":[]}');
  const target = {
    client: connect({ urls: [registry.url], stallAfter: STALL_AFTER }).client(registry.host),
    repository: "a/b",
    scopes: [],
    manner: new UploadManner(),
    warn: () => {},
  };
  const manifest = { reference: "v1", digest: digestOf(bytes), mediaType: MEDIA_TYPE.ociIndex, bytes };
  await sendManifest(target, manifest);
  expect(uploadSteps(registry).filter((method) => method === "PUT")).toHaveLength(2);
});
