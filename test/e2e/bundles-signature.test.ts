import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { image, type TestContent } from "../support/content.ts";
import { type RunResult, runExecutable } from "../support/executable.ts";
import { type OnlineRelease, putOnline } from "../support/release.ts";
import { GOLDEN_RELEASE, GOLDEN_SIGNATURES, goldenBundles, Publisher } from "../support/signing.ts";
import { expectFailure } from "./stage.ts";

const APP = "public.ecr.aws/eks-anywhere/app:v1";
const DISTRO = "https://distro.example/kubernetes-1-28-46.yaml";
const CHANGED_DISTRO = "https://distro.example/changed/kubernetes-1-28-46.yaml";
const NEWER_DISTRO = "https://distro.example/newer/kubernetes-1-28-46.yaml";
const TITLE = "1.31/eks-distro/kubernetes-1-28-46.yaml";
const NOT_SIGNED = "warning: the Bundles is not signed";

const publisher = new Publisher();
let folder: string;
let online: OnlineRelease;
let images: readonly object[];
/** While it is, the layer cannot be had. */
let isDown = false;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-bundles-signature-"));
  const app: TestContent = await image({ seed: "app", layerSizes: [2000] });
  const [layer = ""] = [...app.blobs].flatMap(([digest, bytes]) => (bytes.length < 2000 ? [] : digest));
  images = [{ uri: APP, imageDigest: app.root.digest }];
  const documents = new Map([
    [DISTRO, GOLDEN_RELEASE],
    [CHANGED_DISTRO, GOLDEN_RELEASE.replace("number: 46", "number: 47")],
    [NEWER_DISTRO, GOLDEN_RELEASE.replace("spec: {", "spec: {successor: 1-29, ")],
  ]);
  online = await putOnline(
    { artifacts: new Map([[APP, app]]), documents },
    {
      intercept: (_, { pathname }) =>
        isDown && pathname.endsWith(layer) ? new Response(null, { status: 404 }) : undefined,
    },
  );
  await writeFile(join(folder, "publisher.pem"), publisher.publicKey);
  await writeFile(join(folder, "other.pem"), new Publisher().publicKey);
  await writeFile(join(folder, "p384.pem"), new Publisher("P-384").publicKey);
});

afterAll(async () => {
  await online.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Exported extends RunResult {
  /** What the run left behind. */
  left: string[];
  /** Of the report. */
  signatures: unknown;
}

/** Exports a Bundles to a folder of its own; `KEYS` in a flag stands for where the public keys are. */
async function exportBundles(yaml: string, ...flags: string[]): Promise<Exported> {
  const cwd = await mkdtemp(join(folder, "export-"));
  return exportAgain(cwd, yaml, ...flags);
}

async function exportAgain(cwd: string, yaml: string, ...flags: string[]): Promise<Exported> {
  await Bun.write(join(cwd, "bundles.yaml"), yaml);
  const from = ["--bundles-override", "bundles.yaml", ...online.mirrors];
  const args = flags.map((flag) => flag.replace("KEYS", folder));
  const result = await runExecutable(
    ["export", "artifacts", "-o", "a.tar", "--report", "report.json", ...from, ...args],
    { cwd },
  );
  const left = (await readdir(cwd)).filter((name) => name.startsWith("a.tar"));
  const report = Bun.file(join(cwd, "report.json"));
  const { signatures } = (await report.exists()) ? await report.json() : { signatures: undefined };
  return { ...result, left, signatures };
}

const unsigned = () => goldenBundles({ images }).replace(/metadata:[\s\S]*spec:/, "spec:");
const tampered = () => goldenBundles({ images }).replace("number: 1", "number: 2");

describe("a Bundles that its publisher signed", () => {
  test.each([
    ["", []],
    ["--signature auto", ["--signature", "auto"]],
    ["--signature require", ["--signature", "require"]],
  ])("is exported as `export %s`", async (_, flags) => {
    const { status, stderr, left, signatures } = await exportBundles(goldenBundles({ images }), ...flags);
    expect({ status, left }, stderr).toEqual({ status: 0, left: ["a.tar"] });
    expect(stderr).toContain("signed and unchanged: the Bundles, 1 EKS-D release\n");
    expect(stderr).not.toContain("warning:");
    expect(signatures).toEqual([
      { document: "bundle-release.yaml", state: "valid" },
      { document: TITLE, state: "valid" },
    ]);
  });

  test.each([
    ["", []],
    ["--signature require", ["--signature", "require"]],
    ["--dry-run", ["--dry-run"]],
  ])("and that was changed then is refused by `export %s`", async (_, flags) => {
    const result = await exportBundles(tampered(), ...flags);
    expectFailure(
      result,
      4,
      "cannot accept the Bundles: its signature is not valid",
      "does not belong to this content",
      "hint: ",
    );
    expect(result.left).toEqual([]);
    expect(result.signatures).toEqual([{ document: "bundle-release.yaml", state: "invalid" }]);
  });

  test("is refused with one bit of the signature changed", async () => {
    const bytes = Buffer.from(GOLDEN_SIGNATURES.bundles, "base64");
    bytes.writeUInt8(bytes.readUInt8(40) ^ 1, 40);
    const yaml = goldenBundles({ images, signature: bytes.toString("base64") });
    expectFailure(await exportBundles(yaml), 4, "its signature is not valid");
  });

  test("is exported as it is where nobody looks", async () => {
    const { status, stderr, signatures } = await exportBundles(tampered(), "--signature", "skip");
    expect({ status, signatures }, stderr).toEqual({ status: 0, signatures: undefined });
    expect(stderr).not.toMatch(/sign/);
  });
});

describe("an EKS-D release", () => {
  test("that was changed after it was signed is refused", async () => {
    const result = await exportBundles(goldenBundles({ images, manifestUrl: CHANGED_DISTRO }));
    expectFailure(result, 4, `cannot accept the EKS-D Release ${TITLE}: its signature is not valid`);
    expect(result.left).toEqual([]);
  });

  test("is judged where its URI stands in a mapping, too", async () => {
    const mapping = `manifestUrl: {uri: ${CHANGED_DISTRO}}`;
    const yaml = goldenBundles({ images }).replace(/manifestUrl: "[^"]*"/, mapping);
    expectFailure(await exportBundles(yaml), 4, `cannot accept the EKS-D Release ${TITLE}`);
  });

  test("need not be signed, and then that is said", async () => {
    const yaml = goldenBundles({ images, distro: "" });
    const { status, stderr } = await exportBundles(yaml, "--signature", "require");
    expect(status, stderr).toBe(0);
    expect(stderr).toContain("signed and unchanged: the Bundles\n");
    expect(stderr).toContain("warning: not signed, so nothing shows whose they are: 1 EKS-D release\n");
  });
});

test("a Bundles is judged before anything that it points to is fetched", async () => {
  const before = online.registry.requests.length;
  const yaml = goldenBundles({ images, manifestUrl: "https://distro.example/missing/a.yaml" });
  expectFailure(await exportBundles(yaml.replace("number: 1", "number: 2")), 4, "cannot accept the Bundles");
  expectFailure(await exportBundles(yaml), 1, "404");
  expect(online.registry.requests).toHaveLength(before);
});

describe("a Bundles that nobody signed", () => {
  test("is exported with a warning", async () => {
    const { status, stderr, signatures } = await exportBundles(unsigned());
    expect(status, stderr).toBe(0);
    expect(stderr.split("\n").filter((line) => line.startsWith("warning:"))).toEqual([
      expect.stringContaining(NOT_SIGNED),
    ]);
    expect(signatures).toMatchObject([{ state: "absent" }, { state: "absent" }]);
  });

  test("is refused where a signature is required", async () => {
    const result = await exportBundles(unsigned(), "--signature", "require");
    expectFailure(
      result,
      4,
      "cannot accept the Bundles: it is not signed",
      "anywhere.eks.amazonaws.com/signature",
    );
    expect(result.left).toEqual([]);
  });
});

describe("fields that this program does not know", () => {
  const yaml = () =>
    publisher.sign(
      goldenBundles({ images, manifestUrl: NEWER_DISTRO }).replace(
        "docker:",
        "podman: {a: <&>}\n    docker:",
      ),
    );
  const key = ["--signature-key", "KEYS/publisher.pem"];

  test("make a warning that names them", async () => {
    const { status, stderr } = await exportBundles(yaml(), ...key);
    expect(status, stderr).toBe(0);
    expect(stderr).toMatch(
      /warning: cannot judge the signature of the Bundles: .*: spec\.versionsBundles\[0\]\.podman\n/,
    );
    expect(stderr).toMatch(
      new RegExp(`warning: cannot judge the signature of the EKS-D Release ${TITLE}: .*: spec\\.successor\n`),
    );
  });

  test("are refused by name where a signature is required", async () => {
    const result = await exportBundles(yaml(), ...key, "--signature", "require");
    expectFailure(result, 4, "cannot judge the signature of the Bundles", "spec.versionsBundles[0].podman");
    expect(result.left).toEqual([]);
    expect(result.signatures).toEqual([
      { document: "bundle-release.yaml", state: "unknownFields", fields: ["spec.versionsBundles[0].podman"] },
    ]);
    const known = goldenBundles({ images, manifestUrl: NEWER_DISTRO });
    const second = await exportBundles(known, "--signature", "require");
    expectFailure(second, 4, `cannot judge the signature of the EKS-D Release ${TITLE}`, "spec.successor");
    expect(second.signatures).toEqual([
      { document: "bundle-release.yaml", state: "valid" },
      { document: TITLE, state: "unknownFields", fields: ["spec.successor"] },
    ]);
  });
});

describe("another publisher's key", () => {
  const signed = () => {
    const yaml = goldenBundles({ images }).replace(
      "eksD: {",
      'eksD: {channel: "1-28", gitCommit: "a<b>&c", ',
    );
    return publisher.sign(yaml, { "1-28": GOLDEN_RELEASE });
  };

  test("is the one that counts", async () => {
    const required = ["--signature", "require", "--signature-key"];
    const good = await exportBundles(signed(), ...required, "KEYS/publisher.pem");
    expect(good.status, good.stderr).toBe(0);
    expect(good.stderr).toContain("signed and unchanged: the Bundles, 1 EKS-D release\n");
    expectFailure(
      await exportBundles(signed(), ...required, "KEYS/other.pem"),
      4,
      "cannot accept the Bundles",
    );
    expectFailure(
      await exportBundles(goldenBundles({ images }), ...required, "KEYS/publisher.pem"),
      4,
      "cannot accept the Bundles",
    );
    expectFailure(await exportBundles(signed()), 4, "cannot accept the Bundles");
  });

  test.each<[string, string[], number, string, string]>([
    ["fails for want of a file", ["KEYS/missing.pem"], 1, "missing.pem", "ENOENT"],
    ["is wrong usage with a key of another curve", ["KEYS/p384.pem"], 2, "p384.pem", "secp384r1"],
    [
      "is wrong usage with something else",
      ["bundles.yaml"],
      2,
      "bundles.yaml",
      "neither a public key in PEM form nor one in base64",
    ],
    [
      "is wrong usage where there is no use for it",
      ["KEYS/publisher.pem", "--signature", "skip"],
      2,
      "`--signature-key` with `--signature skip`",
      "leave out one",
    ],
  ])("%s", async (_, flags, status, what, why) => {
    expectFailure(await exportBundles(unsigned(), "--signature-key", ...flags), status, what, why);
  });

  test("cannot be asked for in another word", async () => {
    expectFailure(await exportBundles(unsigned(), "--signature", "required"), 2, "did you mean `require`?");
  });
});

test("what nobody looked at is not finished by a run that looks", async () => {
  const cwd = await mkdtemp(join(folder, "export-"));
  isDown = true;
  const first = await exportAgain(cwd, tampered(), "--signature", "skip");
  isDown = false;
  expect({ status: first.status, left: first.left.sort() }).toEqual({
    status: 1,
    left: ["a.tar.journal", "a.tar.partial"],
  });
  const second = await exportAgain(cwd, tampered());
  expectFailure(second, 1, "another export to it was interrupted", "--signature skip");
  expectFailure(await exportAgain(cwd, tampered(), "--refresh"), 4, "cannot accept the Bundles");
  expect(await exportAgain(cwd, tampered(), "--signature", "skip")).toMatchObject({
    status: 0,
    left: ["a.tar"],
  });
});
