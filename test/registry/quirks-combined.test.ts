import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { Quirks } from "../support/quirks.ts";
import {
  type Contents,
  expectedArchive,
  exportFrom,
  importInto,
  leaks,
  missingIn,
  openStage,
  someContents,
  startSource,
  startTarget,
} from "./quirks-carry.ts";

/** More with `STRESS=N`; one again with `SEED=N`, which a failure prints. */
const RUNS = Number(process.env.STRESS ?? 60);
const SEED = Number(process.env.SEED ?? Date.now() & 0x7fffffff);
/** Several misfortunes may befall one request. */
const ATTEMPTS = 16;
/** Milliseconds. */
const LIMIT = 30_000 + RUNS * 1000;

let folder: string;
let contents: Contents;
let archive: Buffer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-quirks-combined-"));
  contents = await someContents();
  archive = Buffer.from(await Bun.file(await expectedArchive(folder, contents)).bytes());
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const yes = fc.constant(true);

/** Each with the values it may take; those that no client could come round are tested by themselves. */
const EITHER_WAY = {
  challenge: fc.constantFrom(
    "bearer",
    "BASIC",
    "negotiateAndBearer",
    "basicAndBearer",
    "twoLines",
    "unquoted",
    "open",
  ),
  challengesOnlyAtPing: yes,
  pingIsOpen: yes,
  relativeRealm: yes,
  readsFirstScopeOnly: yes,
  laterScopeOverwrites: yes,
  scopeOfItsOwn: fc.constant("aws"),
  refusesSeveralRepositories: yes,
  tokenField: fc.constantFrom("access_token", "both"),
  tokenLifetime: fc.constantFrom(0, 1, 3600),
  tokenGoodFor: fc.integer({ min: 25, max: 60 }),
  dropTokenAt: fc.nat(30),
  rateLimitFirst: fc.integer({ min: 1, max: 5 }),
  rateLimitEvery: fc.integer({ min: 2, max: 9 }),
  onePullEvery: fc.integer({ min: 1, max: 4 }),
  failsFirst: fc.constantFrom(408, 500, 502, 503, 504),
  closesFirst: yes,
  htmlErrors: yes,
  emptyErrors: yes,
  extraWarningHeader: yes,
  setsCookies: yes,
  noDigestHeaders: yes,
  manifestHeadWithoutDigest: yes,
  manifestType: fc.constantFrom("charset", "octets", "none"),
  noReferrers: fc.constantFrom(400, 404),
  noHeadContentLength: yes,
  noTagList: yes,
} as const;

const AS_SOURCE = {
  redirectsBlobs: fc.constantFrom("store", "relative"),
  blobHead401: yes,
  dropBodyAt: fc.nat(30_000),
  ignoresRange: yes,
  wrongRangeOnce: yes,
  unmeasuredBlobs: yes,
  gzipContentEncoding: yes,
  dropManifestAt: fc.nat(500),
  anonymousPull: yes,
  staleLogin: fc.constantFrom("token401", "token403", "pull403"),
} as const;

const AS_TARGET = {
  discardsLaterPatches: yes,
  patchAnswers: fc.constantFrom(201, 204),
  blobPutAnswers: fc.constant(204),
  refusesPutWithBody: yes,
  refusesPatch: fc.constantFrom(404, 405, 501),
  rotatingState: yes,
  noUploadRange: yes,
  patchWithoutLocation: yes,
  location: fc.constantFrom("absolute", "networkPath", "withoutScheme", "otherHost"),
  redirectsUploads: fc.constantFrom("PUT", "PATCH", "all"),
  mountAnswers: fc.constantFrom(202, 401, 403, 404, 405, 500),
  bodyLimit: fc.integer({ min: 30_000, max: 400_000 }),
  chunkLimit: fc.integer({ min: 20_000, max: 400_000 }),
  minChunk: fc.integer({ min: 1, max: 15_000 }),
  breaksPatches: fc.integer({ min: 1, max: 3 }),
  gatewayTimeoutAtPut: fc.integer({ min: 1, max: 2 }),
  noUploadStatus: yes,
  refusesCancel: yes,
  needsOctetStream: yes,
  needsContentLength: yes,
  tokenEndsDuringPatch: yes,
  manifestPutAnswers: fc.constantFrom(200, 202),
} as const;

/** Some of the quirks, each of them now and then. */
function some(values: Readonly<Record<string, fc.Arbitrary<unknown>>>): fc.Arbitrary<Quirks> {
  const names = Object.keys(values);
  return fc
    .subarray(names, { maxLength: 8 })
    .chain((chosen) => fc.record(Object.fromEntries(chosen.map((name) => [name, values[name] ?? yes]))))
    .map(possible);
}

/** Without what nobody could come round together with the rest. */
function possible(quirks: Quirks): Quirks {
  const left = { ...quirks };
  // It never says how to log in.
  if (left.pingIsOpen) delete left.challengesOnlyAtPing;
  // It takes no bytes at all, or no large blobs.
  if (left.refusesPatch) delete left.refusesPutWithBody;
  if (left.refusesPatch || left.discardsLaterPatches) delete left.bodyLimit;
  // What changes with each request has to be told.
  if (left.rotatingState || left.location === "otherHost") delete left.patchWithoutLocation;
  // A login that is refused helps only where everybody may read.
  if (left.staleLogin) left.anonymousPull = true;
  return left;
}

test(
  `whatever combination of misbehaviours two registries have, everything arrives (seed ${SEED})`,
  async () => {
    const property = fc.asyncProperty(
      some({ ...EITHER_WAY, ...AS_SOURCE }),
      some({ ...EITHER_WAY, ...AS_TARGET }),
      fc.boolean(),
      async (sourceQuirks, targetQuirks, isPiped) => {
        const stage = await openStage();
        try {
          const source = await startSource(stage, sourceQuirks, contents);
          const output = join(stage.folder, "artifacts.tar");
          await exportFrom(source, output, contents, { attempts: ATTEMPTS });
          expect(Buffer.from(await Bun.file(output).bytes()).equals(archive)).toBe(true);
          const target = await startTarget(stage, targetQuirks);
          await importInto(target, output, { attempts: ATTEMPTS, isPiped });
          expect(await missingIn(target, contents)).toEqual([]);
          expect(leaks(source, target)).toEqual([]);
        } finally {
          await stage.stop();
        }
      },
    );
    await fc.assert(property, { numRuns: RUNS, seed: SEED, interruptAfterTimeLimit: LIMIT });
  },
  LIMIT + 30_000,
);
