import { gunzipSync } from "node:zlib";
import { TarStream } from "../archive/tar-stream.ts";
import { mergeSkipped } from "../eksa/artifacts.ts";
import type { Collection } from "../eksa/collect.ts";
import { mergeImages } from "../eksa/images.ts";
import { collectPackages } from "../eksa/packages.ts";
import { reasonToLeave } from "../eksa/selection.ts";
import type { Source } from "../oci/plan.ts";
import { count } from "../terminal/progress-view.ts";
import type { SelectionRun } from "./export-plan.ts";
import { selectionFrom } from "./selected.ts";

/** Charts are texts: some hundred kilobytes, unpacked. */
const MAX_UNPACKED_BYTES = 64 * 1024 * 1024;

/** The part of a Bundles that is selected, with the curated packages of its Kubernetes versions. */
export async function withPackages(
  { values, log, signal }: Pick<SelectionRun, "values" | "log" | "signal">,
  collection: Collection,
  source: Source,
): Promise<Collection> {
  const { images, skipped, unpinned, failures } = collection;
  const selection = selectionFrom(values);
  const { kubernetesVersions } = selection;
  const controllers = collection.packageControllers.filter(
    ({ kubeVersion }) => kubernetesVersions.length === 0 || kubernetesVersions.includes(kubeVersion),
  );
  const { length } = controllers.filter(({ bundle }) => bundle !== undefined);
  log.info(`reading ${count(length, "package bundle")}, and the charts named there`);
  const packages = await collectPackages(controllers, {
    source,
    valuesOf,
    excluded: new Set(values.exclude),
    others: images,
    warn: (text) => log.warn(text),
  });
  // What was not waited for is not missing.
  signal.throwIfAborted();
  const without = controllers
    .filter(({ bundle }) => bundle === undefined)
    .map(({ kubeVersion, where }) => {
      const reason = "no package controller is named, and so no curated packages";
      return { uri: `the curated packages of Kubernetes ${kubeVersion}`, reason, where: [where] };
    });
  return {
    ...collection,
    images: mergeImages([
      ...images,
      ...packages.images.filter((each) => reasonToLeave(each, selection) === undefined),
    ]),
    skipped: mergeSkipped([...skipped, ...without]),
    unpinned: [...unpinned, ...packages.unpinned],
    failures: [...failures, ...packages.failures],
  };
}

/** A chart's own `values.yaml`; not those of the charts in it. */
async function valuesOf(chart: Uint8Array, name: string): Promise<Uint8Array | undefined> {
  const tar = new TarStream(name, oneChunk(gunzipSync(chart, { maxOutputLength: MAX_UNPACKED_BYTES })));
  for (let entry = await tar.next(); entry !== undefined; entry = await tar.next()) {
    if (entry.type === "0" && /^[^/]+\/values\.yaml$/.test(entry.name)) return tar.read();
  }
  return;
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
