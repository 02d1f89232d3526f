import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PipeSource } from "../../src/archive/pipe-source.ts";
import { ArchiveSource } from "../../src/archive/source.ts";
import { TarStream } from "../../src/archive/tar-stream.ts";
import { digestOf } from "../../src/oci/digest.ts";
import type { Plan, Sink, Source } from "../../src/oci/plan.ts";
import { parseReference, type Reference } from "../../src/oci/reference.ts";
import { RegistrySink } from "../../src/registry/sink.ts";
import { RegistrySource } from "../../src/registry/source.ts";
import { describeFault } from "../../src/terminal/fault.ts";
import { renamePlan, underOwnNames } from "../../src/transfer/plan.ts";
import { resolve } from "../../src/transfer/resolve.ts";
import { transfer } from "../../src/transfer/transfer.ts";
import { chart, image, layer, multiArchImage, seed, type TestContent } from "../support/content.ts";
import { rawImage } from "../support/memory.ts";
import { type Quirks, type QuirkyRegistry, startQuirkyRegistry } from "../support/quirks.ts";
import { Writing } from "../support/writing.ts";
import { type ConnectOptions, connect } from "./connect.ts";

/** What the archive's names say; where it is read from is another matter. */
const NAMED_HOST = "public.example.com";

/** Where an import puts things. */
export const MIRROR = "mirror";

export type Contents = Readonly<Record<string, TestContent>>;

/** Of everything something: two architectures, shared layers, Docker's types, a chart, no bytes, many chunks. */
export async function someContents(): Promise<Contents> {
  const base = [await layer("base", 20_000)];
  return {
    "eks-anywhere/app:v1": await multiArchImage({ seed: "app", base, attested: true }),
    "eks-anywhere/app:v2": await image({ seed: "app-2", base }),
    "eks-distro/tool:v1-31-1": await image({ seed: "tool", dialect: "docker", base, layerSizes: [300_000] }),
    "charts/cert-manager:1.0.0": await chart("cert-manager", "1.0.0"),
    "eks-anywhere/empty:v1": rawImage(["one", ""]),
  };
}

export interface Stage {
  folder: string;
  started: QuirkyRegistry[];
  stop(): Promise<void>;
}

export async function openStage(): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-quirks-"));
  const started: QuirkyRegistry[] = [];
  return {
    folder,
    started,
    stop: async () => {
      await Promise.all(started.map((registry) => registry.stop()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A registry full of `contents`. */
export async function startSource(stage: Stage, quirks: Quirks, contents: Contents): Promise<QuirkyRegistry> {
  const registry = await startQuirkyRegistry(quirks, "source");
  stage.started.push(registry);
  for (const [name, content] of Object.entries(contents)) {
    const { repository, tag } = parseReference(`${NAMED_HOST}/${name}`);
    await seed(registry.store, repository, tag, content);
  }
  return registry;
}

export async function startTarget(stage: Stage, quirks: Quirks): Promise<QuirkyRegistry> {
  const registry = await startQuirkyRegistry(quirks, "target");
  stage.started.push(registry);
  return registry;
}

/** A registry, and who may come in. */
type Place = Pick<QuirkyRegistry, "host" | "url" | "login">;

/** Exports what is in the registry into `archive`; fails with the first thing that is not to be had. */
export async function exportFrom(
  { host, url, login }: Place,
  archive: string,
  contents: Contents,
  { path = "", ...options }: Partial<ConnectOptions> & { path?: string } = {},
): Promise<void> {
  const mirrors = [{ host: NAMED_HOST, origin: new URL(url), path }];
  const credentials = (name: string) =>
    name === host ? ({ kind: "password", ...login } as const) : undefined;
  const source = new RegistrySource(connect({ mirrors, credentials, attempts: 8, ...options }));
  const references = Object.keys(contents).map((name) => parseReference(`${NAMED_HOST}/${name}`));
  const plan = await planOf(source, references);
  const writing = await Writing.begin(archive, plan);
  try {
    await moved(plan, source, writing.sink);
  } catch (error) {
    await writing.leave();
    throw error;
  }
  await writing.commit();
}

/** Imports the archive, a file or what comes out of it, into the registry, below `MIRROR`; fails with the first thing that did not get there. */
export async function importInto(
  { host, url, login }: Place,
  archive: string,
  { isPiped = false, ...options }: Partial<ConnectOptions> & { isPiped?: boolean } = {},
): Promise<void> {
  const credentials = (name: string) =>
    name === host ? ({ kind: "password", ...login } as const) : undefined;
  const registries = connect({ urls: [url], credentials, attempts: 8, ...options });
  const source = isPiped
    ? await PipeSource.open(new TarStream("the pipe", Bun.file(archive).stream()))
    : new ArchiveSource(archive);
  try {
    const held = await planOf(source, source.references);
    if (source instanceof PipeSource) source.follow(held);
    const plan = renamePlan(held, ({ reference }) => placed(reference, host));
    await registries.client(host).ping();
    await moved(plan, source, new RegistrySink(registries, plan.roots));
    if (source instanceof PipeSource) await source.finish();
  } finally {
    source.close();
  }
}

/** Copies what is in one registry straight into another, below `MIRROR`; fails with the first thing that did not get there. */
export async function copyBetween(
  source: Place,
  target: Place,
  contents: Contents,
  options: Partial<ConnectOptions> = {},
): Promise<void> {
  const mirrors = [{ host: NAMED_HOST, origin: new URL(source.url), path: "" }];
  const credentials = (name: string) => {
    const place = [source, target].find(({ host }) => host === name);
    return place && ({ kind: "password", ...place.login } as const);
  };
  const registries = connect({ urls: [target.url], mirrors, credentials, attempts: 8, ...options });
  const from = new RegistrySource(registries);
  const references = Object.keys(contents).map((name) => parseReference(`${NAMED_HOST}/${name}`));
  const found = await planOf(from, references);
  const plan = renamePlan(found, ({ reference }) => placed(reference, target.host));
  await registries.client(target.host).ping();
  await moved(plan, underOwnNames(from, found), new RegistrySink(registries, plan.roots));
}

function placed({ repository, tag = "" }: Reference, registry: string): Reference {
  return { registry, repository: `${MIRROR}/${repository}`, tag };
}

/** What is not in the registry as it ought to be, in a word each; looked up behind its HTTP side. */
export async function missingIn({ store }: QuirkyRegistry, contents: Contents): Promise<string[]> {
  const missing: string[] = [];
  for (const [name, { root, manifests, blobs }] of Object.entries(contents)) {
    const { repository, tag = "" } = parseReference(`${NAMED_HOST}/${name}`);
    const place = `${MIRROR}/${repository}`;
    const tagged = await store.manifest(place, tag);
    if (tagged?.digest !== root.digest) missing.push(`${name} is ${tagged?.digest}`);
    for (const manifest of manifests) {
      const stored = await store.manifest(place, manifest.digest);
      const isRight = stored !== undefined && Buffer.from(stored.bytes).equals(Buffer.from(manifest.bytes));
      if (!isRight || stored.mediaType !== manifest.mediaType) missing.push(`${name}: ${manifest.digest}`);
    }
    for (const digest of blobs.keys()) {
      const blob = await store.blob(place, digest);
      const bytes = blob && (await new Response(blob.read(0, blob.size)).bytes());
      if (bytes === undefined || digestOf(bytes) !== digest) missing.push(`${name}: ${digest}`);
    }
  }
  return missing;
}

/**
 * What went where it did not belong, in a line each: a login anywhere but at its registry and its token
 * server, a token anywhere but at its registry, a cookie anywhere, a HEAD of a blob at a source.
 */
export function leaks(source: QuirkyRegistry | undefined, target: QuirkyRegistry | undefined): string[] {
  const lines: string[] = [];
  const registries = [source, target].filter((registry) => registry !== undefined);
  for (const registry of registries) {
    const basic = `Basic ${btoa(`${registry.login.username}:${registry.login.password}`)}`;
    for (const { role, method, path, headers } of registry.ledger) {
      const line = `${role} ${method} ${path}`;
      const authorization = headers.get("authorization");
      const isBearer = authorization?.startsWith("Bearer t0ken-") === true;
      const mayGo = role === "registry" ? isBearer || authorization === basic : authorization === basic;
      if (authorization !== null && (role === "storage" || !mayGo)) lines.push(`${line}: ${authorization}`);
      if (headers.has("cookie")) lines.push(`${line}: a cookie`);
      if (registry === source && method === "HEAD" && path.includes("/blobs/")) lines.push(line);
      const rest = JSON.stringify([path, [...headers].filter(([name]) => name !== "authorization")]);
      if (registries.some(({ login }) => rest.includes(login.password))) lines.push(`${line}: a password`);
    }
  }
  return lines;
}

async function planOf(source: Source, references: readonly Reference[]): Promise<Plan> {
  const { plan, failures } = await resolve(source, references, { jobs: 4 });
  for (const { error } of failures) throw error;
  return plan;
}

async function moved(plan: Plan, source: Source, sink: Sink): Promise<void> {
  const { lost } = await transfer(plan, source, sink, {
    jobs: 4,
    onFailure: "continue",
    listener: () => {},
    signal: new AbortController().signal,
  });
  for (const { error } of lost) throw error;
}

/** What the archive of these contents must be, whatever the registry did on the way. */
export async function expectedArchive(folder: string, contents: Contents): Promise<string> {
  const stage = await openStage();
  try {
    const path = join(folder, "expected.tar");
    await exportFrom(await startSource(stage, { challenge: "open" }, contents), path, contents);
    return path;
  } finally {
    await stage.stop();
  }
}

/** All that a person gets to read of the failure that `work` ends with. */
export async function toldBy(work: Promise<void>): Promise<string> {
  const failure = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failure === undefined) throw new Error("it did not fail");
  const { message, because, hints } = describeFault(failure);
  return [message, ...because, ...hints].join("\n");
}
