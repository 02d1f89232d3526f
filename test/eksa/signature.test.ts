import { describe, expect, test } from "bun:test";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { type Judgement, parsePublicKey, SignedBundles } from "../../src/eksa/signature.ts";
import { faultOf } from "../support/faults.ts";
import { GOLDEN_RELEASE, GOLDEN_SIGNATURES, goldenBundles, Publisher } from "../support/signing.ts";

const RELEASE_TITLE = "1.31/eks-distro/kubernetes-1-28-46.yaml";

/** Of a Bundles, and of the EKS-D release that it points to. */
function judge(bundles: string, release?: string, key?: string): Judgement[] {
  const bytesOf = (text: string) => new TextEncoder().encode(text);
  const file = { source: "bundles.yaml", bytes: bytesOf(bundles) };
  const signed = new SignedBundles(file, key === undefined ? undefined : parsePublicKey(key));
  const files = [
    { title: "1.31/eks-distro/other.yaml", bytes: bytesOf("{}") },
    ...(release === undefined ? [] : [{ title: RELEASE_TITLE, bytes: bytesOf(release) }]),
  ];
  return [signed.judge(), ...signed.judgeReleases(files)];
}

function states(...args: Parameters<typeof judge>): string[] {
  return judge(...args).map(({ verdict }) => verdict.state);
}

/** Every one of them differs from `text` in one bit of its bytes. */
function* oneBitOff(base64: string): Generator<string> {
  const bytes = Buffer.from(base64, "base64");
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const other = Buffer.from(bytes);
    other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    yield other.toString("base64");
  }
}

describe("the publishers' own signatures", () => {
  test("hold for what they signed", () => {
    expect(judge(goldenBundles(), GOLDEN_RELEASE)).toEqual([
      {
        kind: "Bundles",
        title: "bundle-release.yaml",
        annotation: "anywhere.eks.amazonaws.com/signature",
        verdict: { state: "valid" },
      },
      {
        kind: "EKS-D Release",
        title: RELEASE_TITLE,
        // The Bundles that was signed names no channel.
        annotation: "distro.eks.amazonaws.com/signature-",
        verdict: { state: "valid" },
      },
    ]);
  });

  test("do not hold with any bit of them changed", () => {
    for (const signature of oneBitOff(GOLDEN_SIGNATURES.bundles)) {
      expect(states(goldenBundles({ signature }))).toEqual(["invalid"]);
    }
    for (const distro of oneBitOff(GOLDEN_SIGNATURES.release)) {
      expect(states(goldenBundles({ distro }), GOLDEN_RELEASE)).toEqual(["valid", "invalid"]);
    }
  });

  test.each([
    ["the number", "number: 1", "number: 0"],
    ["the version", '"1.31"', '"1.30"'],
    ["a name", "metadata:\n", "metadata:\n  name: bundles-1\n"],
    ["the end of support", "    eksD:", '    endOfStandardSupport: "2026-12-01"\n    eksD:'],
    ["the node image", "eksD: {", "eksD: {kindNode: {uri: example.com/mine:v1}, "],
    ["a second version", "    docker:", "  - kubeVersion: a\n    docker:"],
  ])("do not hold with %s changed", (_, from, to) => {
    const bundles = goldenBundles().replace(from, to);
    expect(bundles).not.toBe(goldenBundles());
    expect(states(bundles)).toEqual(["invalid"]);
  });

  test("hold where a scalar is written otherwise, and Go reads it alike", () => {
    expect(states(goldenBundles().replace('"1.31"', "1.31").replace("number: 1", "number: 0x1"))).toEqual([
      "valid",
    ]);
    expect(states(goldenBundles().replace('"1.31"', "1.30"))).toEqual(["invalid"]);
  });

  test.each([
    ["channel: 1-28", "channel: 1-29"],
    ["number: 46", "number: 47"],
    ["name: kubernetes-1-28-46", "name: kubernetes-1-28-47"],
  ])("do not hold for an EKS-D Release with %s changed", (from, to) => {
    expect(states(goldenBundles(), GOLDEN_RELEASE.replace(from, to))).toEqual(["valid", "invalid"]);
  });

  test("hold whatever becomes of what they do not cover", () => {
    const images = [{ uri: "example.com/mine:v1" }];
    const status = GOLDEN_RELEASE.replace("name: etcd,", "name: mine,");
    expect(states(goldenBundles({ images }), status)).toEqual(["valid", "valid"]);
  });

  test("are not those of another publisher", () => {
    const other = new Publisher().publicKey;
    // EKS-D's publisher stays one to be believed: its releases are carried by anybody's Bundles.
    expect(states(goldenBundles(), GOLDEN_RELEASE, other)).toEqual(["invalid", "valid"]);
  });
});

describe("another publisher's signatures", () => {
  const publisher = new Publisher();
  const bundles = goldenBundles().replace("eksD: {", "eksD: {channel: 1-31, ");
  const release = GOLDEN_RELEASE.replace("1-28", "1-31");
  const signed = publisher.sign(bundles, { "1-31": release });

  test("hold with that one's key, and with no other", () => {
    expect(states(signed, release, publisher.publicKey)).toEqual(["valid", "valid"]);
    expect(states(signed, release, new Publisher().publicKey)).toEqual(["invalid", "invalid"]);
    expect(states(signed, release)).toEqual(["invalid", "invalid"]);
  });

  test("are looked for by the channel that the Bundles names, not by what the EKS-D Release says", () => {
    const other = publisher.sign(bundles, { "1-30": release });
    expect(states(other, release, publisher.publicKey)).toEqual(["valid", "absent"]);
    const swapped = publisher.sign(bundles, { "1-31": GOLDEN_RELEASE, "1-28": release });
    expect(states(swapped, release, publisher.publicKey)).toEqual(["valid", "invalid"]);
  });

  test("are judged where the EKS-D Release is there alone", () => {
    expect(states(goldenBundles({ manifestUrl: "<placeholder>" }), GOLDEN_RELEASE)).toEqual(["valid"]);
    expect(states(goldenBundles({ manifestUrl: "" }), GOLDEN_RELEASE)).toEqual(["valid"]);
    expect(states(signed, undefined, publisher.publicKey)).toEqual(["valid"]);
  });
});

describe("what cannot be judged", () => {
  test("names the fields that this program does not know", () => {
    const publisher = new Publisher();
    const signed = publisher.sign(goldenBundles().replace("docker:", "podman: {}\n    docker:"), {
      "": GOLDEN_RELEASE,
    });
    const release = GOLDEN_RELEASE.replace("spec: {", "spec: {successor: 1-29, ");
    expect(judge(signed, release, publisher.publicKey).map(({ verdict }) => verdict)).toEqual([
      { state: "unknownFields", fields: ["spec.versionsBundles[0].podman"] },
      { state: "unknownFields", fields: ["spec.successor"] },
    ]);
  });

  test.each([
    ["no annotation", goldenBundles().replace(/^.*\/signature: .*\n/m, "")],
    ["an empty one", goldenBundles({ signature: "" })],
    ["no annotations", goldenBundles().replace(/metadata:[\s\S]*spec:/, "spec:")],
    [
      "annotations that are none",
      goldenBundles().replace(/metadata:[\s\S]*spec:/, "metadata: {annotations: []}\nspec:"),
    ],
  ])("is there with no signature: %s", (_, bundles) => {
    expect(states(bundles)).toEqual(["absent"]);
  });

  test.each([
    ["is no base64", "%%%", "not base64"],
    ["has a bit that nobody reads", GOLDEN_SIGNATURES.release.replace(/c=$/, "d="), "not base64"],
    [
      "goes on after its end",
      Buffer.concat([Buffer.from(GOLDEN_SIGNATURES.bundles, "base64"), Buffer.of(0)]).toString("base64"),
      "does not belong",
    ],
    ["is no signature", "AAAA", "does not belong"],
  ])("is invalid where the signature %s", (_, signature, reason) => {
    const [{ verdict } = { verdict: undefined }] = judge(goldenBundles({ signature }));
    expect(verdict).toMatchObject({ state: "invalid", cause: { message: expect.stringContaining(reason) } });
  });

  test("is invalid where Go could not read the document", () => {
    const [{ verdict } = { verdict: undefined }] = judge(goldenBundles().replace("number: 1", 'number: "1"'));
    expect(verdict).toMatchObject({
      state: "invalid",
      cause: { message: "spec.number: expected a whole number, found `1`" },
    });
  });
});

describe("a public key", () => {
  const { publicKey } = new Publisher();
  const der = createPublicKey(publicKey).export({ type: "spki", format: "der" });

  test.each([
    ["in PEM form", publicKey],
    ["in PEM form with another system's line ends", `\n${publicKey.replaceAll("\n", "\r\n")}`],
    ["in base64", der.toString("base64")],
    ["in base64, in lines", `${der.toString("base64").replaceAll(/.{40}/g, "$&\n")}\n`],
  ])("is read %s", (_, text) => {
    expect(parsePublicKey(text).export({ type: "spki", format: "der" })).toEqual(der);
  });

  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  test.each([
    ["nothing", "", "neither a public key in PEM form nor one in base64"],
    [
      "a private key",
      generateKeyPairSync("ec", { namedCurve: "P-256" })
        .privateKey.export({ type: "pkcs8", format: "pem" })
        .toString(),
      "neither",
    ],
    ["another curve", new Publisher("P-384").publicKey, "a key of another kind: secp384r1, not P-256"],
    [
      "an RSA key",
      rsa.publicKey.export({ type: "spki", format: "pem" }).toString(),
      "a key of another kind: rsa",
    ],
  ])("is not read from %s", async (_, text, message) => {
    expect((await faultOf(() => parsePublicKey(text))).message).toContain(message);
  });
});
