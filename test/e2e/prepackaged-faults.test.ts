import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { encodeHeader } from "../../src/archive/header.ts";
import { PrepackagedStage, partOf, type Serve, TARBALL, VERSION } from "./prepackaged-stage.ts";
import { expectFailure, flipped } from "./stage.ts";

let stage: PrepackagedStage;
beforeAll(async () => {
  stage = await PrepackagedStage.set();
});
beforeEach(async () => {
  stage.begin();
  for (const name of await readdir(stage.folder)) {
    if (name.startsWith("out.tar")) await rm(join(stage.folder, name));
  }
});
afterAll(() => stage.strike());

async function textOf(name: string): Promise<string> {
  return new TextDecoder().decode(await stage.bytes(name));
}

describe("an archive that cannot be had is built, and that is said", () => {
  test.each<[string, () => Response, string]>([
    ["it is not there", () => new Response("no such key", { status: 404 }), "answered 404"],
    ["nobody may read it", () => new Response("<html>denied</html>", { status: 403 }), "answered 403"],
    ["its server sends no parts", () => new Response(stage.tarball.slice()), "sends all of it"],
    [
      "its server does not say how large it is",
      () => new Response("o", { status: 206, headers: { "content-range": "bytes 0-0/*" } }),
      "does not say how much that is",
    ],
    ["a page stands before it", () => new Response("<html>login</html>"), "sends all of it"],
  ])("%s", async (_, answer, why) => {
    stage.serve = answer;
    const result = await stage.take("out.tar", "--report", "report.json");
    expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
    expect(result.stderr).toContain(`warning: the ready-made archive ${TARBALL} cannot be had (`);
    expect(result.stderr).toContain(why);
    expect(stage.askedOfRegistries).toBeGreaterThan(0);
    await stage.expectBuilt("out.tar");
    expect(JSON.parse(await textOf("report.json")).prepackaged).toBeUndefined();
  });

  test("its host cannot be reached", async () => {
    const args = stage.args("out.tar", "offered.yaml", []);
    await stage.write(
      "elsewhere.yaml",
      (await textOf("offered.yaml")).replace(TARBALL, "https://127.0.0.1:1/a.tar"),
    );
    const result = await stage.run(
      ...args.map((word) => (word === "offered.yaml" ? "elsewhere.yaml" : word)),
    );
    expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
    expect(result.stderr).toContain("cannot be had (`127.0.0.1:1` refused the connection");
    await stage.expectBuilt("out.tar");
  }, 30_000);

  test.each(["https://", "https://[", "ftp://assets.example/a.tar"])("its address is %s", async (uri) => {
    await stage.write("odd.yaml", (await textOf("offered.yaml")).replace(TARBALL, uri));
    const result = await stage.run(...stage.args("out.tar", "odd.yaml", ["-v", "1"]));
    expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
    expect(result.stderr).toContain("is not used: it is not at an `https://` URL");
    await stage.expectBuilt("out.tar");
  });

  test("the Release gives no checksum of it, or no address", async () => {
    const offered = await textOf("offered.yaml");
    for (const [pattern, why] of [
      [/^ *sha(256|512):.*\n/gm, "warning: .* is not used: the Release gives no checksum of it"],
      [/airgapArtifacts:\n(?: {8}.*\n)+/g, "^EKS Anywhere"],
    ] as const) {
      const text = offered.replaceAll(pattern, (match) =>
        match.startsWith("airgap") ? "airgapArtifacts: {}\n" : "",
      );
      expect(text).not.toBe(offered);
      await stage.write("other.yaml", text);
      const args = stage.args("out.tar", "other.yaml", ["--force"]);
      const result = await stage.run(...args);
      expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
      expect(result.stderr).toMatch(new RegExp(why));
      expect(stage.asked).toEqual([]);
      await stage.expectBuilt("out.tar");
    }
  });

  test("its address holds what must not be written down", async () => {
    const offered = await textOf("offered.yaml");
    for (const address of [`${TARBALL}?sig=s3cret`, TARBALL.replace("//", "//robot:s3cret@")]) {
      await stage.write("other.yaml", offered.replace(TARBALL, address));
      const result = await stage.run(...stage.args("out.tar", "other.yaml", ["--force", "-v", "1"]));
      expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
      expect(result.stderr).toContain(`${TARBALL} is not used: its address holds a login or a query`);
      expect(result.stderr).not.toContain("s3cret");
      expect(stage.asked).toEqual([]);
      await stage.expectBuilt("out.tar");
    }
  });
});

describe("an archive that is wrong ends with 4, and gets no final name", () => {
  async function expectNone(): Promise<void> {
    expect((await readdir(stage.folder)).filter((name) => name === "out.tar")).toEqual([]);
  }

  test.each(["sha256", "sha512"])("its %s is another than the Release says", async (algorithm) => {
    const text = (await textOf("offered.yaml")).replace(
      new RegExp(`(${algorithm}: "?)([0-9a-f]{8})`),
      (_, key, hex) => `${key}${hex === "00000000" ? "11111111" : "00000000"}`,
    );
    await stage.write("wrong.yaml", text);
    const args = stage.args("out.tar", "wrong.yaml", []);
    const result = await stage.run(...args);
    expectFailure(
      result,
      4,
      `cannot accept ${TARBALL} as what the Release offers`,
      `its ${algorithm} is `,
      "--no-prepackaged",
    );
    await expectNone();
    expect(stage.askedOfRegistries).toBe(0);
    // What it holds is right: no blob has to be fetched again.
    const built = await stage.run(...args, "--no-prepackaged");
    expect(built, built.stderr).toMatchObject({ status: 0, stdout: "" });
    expect(stage.askedOfRegistries).toBe(0);
    await stage.expectBuilt("out.tar");
  });

  test("a bit of a blob is flipped", async () => {
    stage.tarball = flipped(stage.built, stage.built.length - 5000);
    const result = await stage.take("out.tar");
    expectFailure(result, 4, "cannot verify sha256:", "with `--no-prepackaged` it comes from the registries");
    await expectNone();
    const built = await stage.take("out.tar", "--no-prepackaged");
    expect(built, built.stderr).toMatchObject({ status: 0, stdout: "" });
    await stage.expectBuilt("out.tar");
  });

  test.each<[string, () => Uint8Array, string]>([
    ["no archive at all", () => new TextEncoder().encode("<html>".repeat(1000)), "cannot accept"],
    ["a bit of a manifest is flipped", () => flipped(stage.built, 512 * 12), "cannot accept"],
    ["it is cut short", () => stage.built.subarray(0, -70_000), "and what it says it holds takes"],
    [
      "it has more than it says",
      () => Buffer.concat([stage.built, new Uint8Array(512)]),
      "and what it says it holds takes",
    ],
    [
      "it has another owner",
      () => {
        const other = stage.built.slice();
        // Both in the first header: a digit of the owner, and of the checksum.
        other[108 + 6] = 0x31;
        other[148 + 5] = (other[148 + 5] ?? 0) + 1;
        return other;
      },
      "not in the order that an export writes them in",
    ],
  ])("%s", async (_, bytes, why) => {
    stage.tarball = bytes();
    const result = await stage.take("out.tar");
    expectFailure(result, 4, `cannot accept ${TARBALL} as what the Release offers`, why, "--no-prepackaged");
    await expectNone();
    expect(stage.askedOfRegistries).toBe(0);
  });

  test("it goes on for ever before its first blob", async () => {
    // A folder of four gigabytes, and nothing in it.
    const folder = Buffer.from(encodeHeader("folder", 2 ** 32));
    folder[156] = 0x35;
    folder.write("        ", 148);
    folder.write(
      `${folder
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, "0")}\0 `,
      148,
    );
    const zeros = new Uint8Array(1024 * 1024);
    stage.serve = (part) => {
      if (part === undefined || part.to === 1) return;
      let sent = 0;
      const body = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(sent++ === 0 ? folder : zeros),
      });
      const range = `bytes ${part.from}-${part.to - 1}/${stage.tarball.length}`;
      return new Response(body, { status: 206, headers: { "content-range": range } });
    };
    const result = await stage.take("out.tar");
    expectFailure(result, 4, `cannot accept ${TARBALL} as what the Release offers`, "hold no blob");
    await expectNone();
  }, 60_000);

  test("it holds something else than the Bundles names", async () => {
    const chart = "public.ecr.aws/eks-anywhere/chart:0.1.0";
    expect((await stage.export("less.tar", "--exclude", chart)).status).toBe(0);
    stage.tarball = await stage.bytes("less.tar");
    stage.online.registry.requests.length = 0;
    const less = await stage.take("out.tar");
    expectFailure(
      less,
      4,
      `cannot accept ${chart}`,
      "the Bundles names it, and the archive does not hold it",
    );
    // Made for no release: it lacks the version's name and the Release.
    const bundles = ["--bundles-override", "https://assets.example/bundles/1/manifest.yaml"];
    const mirrors = stage.args("", "", []).slice(8);
    const other = await stage.run("export", "artifacts", "-o", "other.tar", ...bundles, ...mirrors);
    expect(other.status, other.stderr).toBe(0);
    stage.tarball = await stage.bytes("other.tar");
    const nameless = await stage.take("out.tar");
    expectFailure(nameless, 4, `\n  public.ecr.aws/eks-anywhere/release-manifest:${VERSION}\n`);
    await expectNone();
  });
});

describe("a server in trouble", () => {
  /** Two layers cannot be had: one of 40 and one of 70 kilobytes. */
  const withoutSome: Serve = (part) => {
    const size = part === undefined ? 0 : part.to - part.from;
    return size > 30_000 && size < 100_000 ? new Response(null, { status: 404 }) : undefined;
  };

  test("that breaks off parts is asked for the rest", async () => {
    const met = new Set<number>();
    stage.serve = (part, bytes) => {
      if (part === undefined || part.to - part.from < 50_000 || met.has(part.to)) return;
      met.add(part.to);
      const half = (part.to - part.from) >> 1;
      const whole = partOf(bytes, part);
      let sent = false;
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (sent) return controller.error();
          sent = true;
          controller.enqueue(bytes.slice(part.from, part.from + half));
        },
      });
      return new Response(body, { status: 206, headers: whole.headers });
    };
    const result = await stage.take("out.tar");
    expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
    expect(met.size).toBeGreaterThan(1);
    await stage.expectBuilt("out.tar");
  });

  test("that asks for patience gets it", async () => {
    let left = 1;
    stage.serve = () =>
      left-- > 0 ? new Response(null, { status: 503, headers: { "retry-after": "1" } }) : undefined;
    const result = await stage.take("out.tar");
    expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
    await stage.expectBuilt("out.tar");
  }, 30_000);

  test("that loses the archive on the way leaves what can be gone on with, from either place", async () => {
    stage.serve = withoutSome;
    const lost = await stage.take("out.tar");
    expectFailure(lost, 1, "cannot export: ", "with `--no-prepackaged` it comes from the registries");
    expect((await readdir(stage.folder)).filter((name) => name.startsWith("out.tar")).sort()).toEqual([
      "out.tar.journal",
      "out.tar.partial",
    ]);
    const begun = stage.asked.length;
    stage.serve = () => new Response(null, { status: 404 });
    const rest = await stage.take("out.tar");
    expect(rest, rest.stderr).toMatchObject({ status: 0, stdout: "" });
    expect(rest.stderr).toContain("going on with");
    expect(rest.stderr).toContain("its content comes from the registries instead");
    expect(stage.asked.length).toBe(begun + 1);
    expect(stage.askedOfRegistries).toBeGreaterThan(0);
    await stage.expectBuilt("out.tar");
  });

  test("that has another archive by the time it is gone on with is not believed", async () => {
    stage.serve = withoutSome;
    expect((await stage.take("out.tar")).status).toBe(1);
    stage.serve = undefined;
    stage.tarball = Buffer.concat([stage.built, new Uint8Array(512)]);
    const result = await stage.take("out.tar");
    expectFailure(result, 4, `cannot accept ${TARBALL}`, "when this export was begun");
  });

  test("that has the graph and not what it takes to plan is done without", async () => {
    stage.serve = (part) =>
      part !== undefined && part.from > 0 ? new Response(null, { status: 404 }) : undefined;
    const result = await stage.take("out.tar");
    expect(result, result.stderr).toMatchObject({ status: 0, stdout: "" });
    expect(result.stderr).toContain(`warning: the ready-made archive ${TARBALL} cannot be had`);
    await stage.expectBuilt("out.tar");
  });

  test("that changes the archive while it is read is not believed", async () => {
    stage.serve = (part) => {
      const isLate = part !== undefined && part.from > stage.built.length / 2;
      return isLate ? partOf(Buffer.concat([stage.built, new Uint8Array(512)]), part) : undefined;
    };
    const result = await stage.take("out.tar");
    expectFailure(result, 4, `it had ${stage.built.length} bytes, and has ${stage.built.length + 512} now`);
  });
});
