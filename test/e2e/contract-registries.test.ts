import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { chmod, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type RunResult, runExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import type { TestRegistry } from "../support/registry.ts";
import { putOnline } from "../support/release.ts";
import { type Authority, makeAuthority } from "../support/tls.ts";
import { expectFailure, FIRST, SECOND, Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

const ROBOT = { username: "robot", password: "hunter2" };
const LOGIN = basic("robot", "hunter2");

function basic(username: string, password: string): string {
  return Buffer.from(`${username}:${password}`).toString("base64");
}

/** This machine by an address that plain HTTP is not tried at. */
function elsewhere({ host }: TestRegistry): string {
  return host.replace("127.0.0.1", "0.0.0.0");
}

/** Every credential that a registry was shown. */
function shownTo({ requests }: TestRegistry): string[] {
  return [...new Set(requests.flatMap(({ headers }) => headers.get("authorization") ?? []))];
}

describe("plain HTTP is spoken", () => {
  test("on a loopback address where HTTPS is not", async () => {
    const target = await stage.startTarget();
    expect(await stage.importTo(target.host)).toMatchObject({ status: 0 });
  });

  test("elsewhere only where it is written, with a warning if a login goes over it", async () => {
    const target = await stage.startTarget({ auth: { scheme: "basic", ...ROBOT } });
    const env = { REGISTRY_USERNAME: ROBOT.username, REGISTRY_PASSWORD: ROBOT.password };
    expectFailure(
      await stage.importTo(elsewhere(target), stage.archive, { env }),
      1,
      "does not complete a TLS handshake",
      "write `http://` before the host",
    );
    expect(shownTo(target)).toEqual([]);
    const result = await stage.importTo(`http://${elsewhere(target)}`, stage.archive, { env });
    expect(result.status, result.stderr).toBe(0);
    expect(result.stderr).toContain(`warning: the login for ${elsewhere(target)} goes over plain HTTP`);
    const here = await stage.importTo(target.url, stage.archive, { env });
    expect(here.stderr).not.toContain("goes over plain HTTP");
  });

  test("to a mirror where it is written", async () => {
    const mirrors = stage.online.mirrors.map((word) => word.replace("127.0.0.1", "0.0.0.0"));
    const flags = ["--bundles-override", stage.bundles, ...mirrors];
    const result = await runExecutable(["export", "artifacts", "-o", join(stage.work, "x.tar"), ...flags]);
    expect(result.status, result.stderr).toBe(0);
    expect(await Bun.file(join(stage.work, "x.tar")).bytes()).toEqual(await Bun.file(stage.archive).bytes());
  });

  test("for manifests on a loopback address alone", async () => {
    const server = await stage.startTarget({ intercept: () => new Response(stage.release.yaml) });
    const list = (host: string) =>
      runExecutable([
        ...["list", "images", "--bundles-override", `http://${host}/bundle-release.yaml`],
        ...stage.online.mirrors,
      ]);
    expect((await list(server.host)).stdout).toContain(FIRST);
    expectFailure(await list(elsewhere(server)), 1, "would go over plain HTTP", "over https");
  });
});

describe("the login for the target", () => {
  /** Each a way to keep one, as a path below the working folder and what is in it, and the variables that lead there. */
  const WAYS: [string, string, (host: string) => object, (work: string) => Record<string, string>][] = [
    [
      "docker's file, in its folder",
      "config.json",
      (host) => ({ auths: { [host]: { auth: LOGIN } } }),
      (work) => ({ DOCKER_CONFIG: work }),
    ],
    [
      "podman's file, by its variable",
      "auth.json",
      (host) => ({ auths: { [host]: { auth: LOGIN } } }),
      (work) => ({ REGISTRY_AUTH_FILE: join(work, "auth.json") }),
    ],
    [
      "podman's file, where it lies by itself",
      "containers/auth.json",
      (host) => ({ auths: { [`${host}/eks-anywhere`]: { auth: LOGIN } } }),
      (work) => ({ XDG_RUNTIME_DIR: work }),
    ],
    [
      "docker's file, at home",
      ".docker/config.json",
      (host) => ({ auths: { [`https://${host}/v1/`]: { username: "robot", password: "hunter2" } } }),
      (work) => ({ HOME: work }),
    ],
    [
      "a helper for the registry",
      "config.json",
      (host) => ({ credHelpers: { [host]: "test" } }),
      (work) => ({ DOCKER_CONFIG: work, PATH: `${work}:${process.env.PATH}` }),
    ],
    [
      "a helper for all",
      "config.json",
      () => ({ credsStore: "test" }),
      (work) => ({ DOCKER_CONFIG: work, PATH: `${work}:${process.env.PATH}` }),
    ],
  ];

  test.each(WAYS)("is found in %s", async (_, path, contents, variables) => {
    const target = await stage.startTarget({ auth: { scheme: "basic", ...ROBOT } });
    await mkdir(join(stage.work, path, ".."), { recursive: true });
    await writeFile(join(stage.work, path), JSON.stringify(contents(target.host)));
    const helper = join(stage.work, "docker-credential-test");
    await writeFile(helper, '#!/bin/sh\necho \'{"Username":"robot","Secret":"hunter2"}\'\n');
    await chmod(helper, 0o755);
    expectFailure(await stage.importTo(target.host), 1, "answered 401");
    const result = await stage.importTo(target.host, stage.archive, { env: variables(stage.work) });
    expect(result.status, result.stderr).toBe(0);
  });

  test("is that of the environment before that of any file, and for nobody else", async () => {
    const secured = await putOnline(stage.release, {
      auth: { scheme: "basic", username: "reader", password: "other" },
    });
    stage.running.push(secured);
    const target = await stage.startTarget({ auth: { scheme: "basic", ...ROBOT } });
    const auths = {
      [target.host]: { auth: basic("somebody", "wrong") },
      [secured.registry.host]: { auth: basic("reader", "other") },
    };
    await writeFile(join(stage.work, "config.json"), JSON.stringify({ auths }));
    const env = { DOCKER_CONFIG: stage.work, REGISTRY_USERNAME: "robot", REGISTRY_PASSWORD: "hunter2" };
    const from = ["--bundles-override", stage.bundles, ...secured.mirrors];
    const copy = () => runExecutable(["copy", "artifacts", "-r", target.host, ...from], { env });
    const result = await copy();
    expect(result.status, result.stderr).toBe(0);
    expect(shownTo(target)).toEqual([`Basic ${LOGIN}`]);
    expect(shownTo(secured.registry)).toEqual([`Basic ${basic("reader", "other")}`]);
  });

  test("is whole or none", async () => {
    for (const name of ["REGISTRY_USERNAME", "REGISTRY_PASSWORD"]) {
      const result = await stage.importTo("127.0.0.1:1", stage.archive, { env: { [name]: "half" } });
      expectFailure(result, 2, "set both REGISTRY_USERNAME and REGISTRY_PASSWORD, or neither");
    }
  });
});

describe("authorities and certificates", () => {
  let authority: Authority;
  let tls: { cert: string; key: string };
  beforeAll(async () => {
    if (Bun.which("openssl") === null) return;
    await mkdir(join(stage.folder, "tls"));
    authority = await makeAuthority(join(stage.folder, "tls"));
    tls = {
      cert: await Bun.file(authority.certificate).text(),
      key: await Bun.file(authority.key).text(),
    };
  });

  /** From a registry to another, both with certificates of a private authority. */
  async function copy(flags: readonly string[], env: Record<string, string> = {}): Promise<RunResult> {
    const source = await putOnline(stage.release, { tls });
    stage.running.push(source);
    const target = await stage.startTarget({ tls });
    const from = ["--bundles-override", stage.bundles, ...source.mirrors];
    return runExecutable(["copy", "artifacts", "-r", `https://${target.host}`, ...from, ...flags], { env });
  }

  testWith("openssl")(
    "EKSA_REGISTRY_MIRROR_CA is trusted with every registry, as `--ca-file` is",
    async () => {
      expect(await copy([], { EKSA_REGISTRY_MIRROR_CA: authority.ca })).toMatchObject({ status: 0 });
      expect(await copy(["--ca-file", authority.ca])).toMatchObject({ status: 0 });
      expectFailure(
        await copy([]),
        1,
        "shows a certificate that this machine does not trust",
        "--ca-file FILE",
      );
      const absent = await copy([], { EKSA_REGISTRY_MIRROR_CA: join(stage.work, "absent.crt") });
      expectFailure(absent, 1, "cannot read the certificate authorities in", "absent.crt", "check the path");
    },
  );

  testWith("openssl")("`--insecure` is for the target and nobody else", async () => {
    const result = await copy(["--insecure"]);
    expectFailure(result, 1, "shows a certificate that this machine does not trust");
    expect(result.stderr).toContain("is not checked (`--insecure`)");
  });
});

describe("values", () => {
  test.each(["200000", "200000B", "200KB", "0.2MB", "195.3125KiB", "195.3125kib"])(
    "%s is a size",
    async (size) => {
      const output = join(stage.work, "out.tar");
      expect(await stage.exportTo(output, "--split-size", size)).toMatchObject({ status: 0, stdout: "" });
      expect((await stat(`${output}.000`)).size).toBe(200_000);
    },
  );

  test.each(["0", "4G", "4 GiB", "1e6", "0x10", "GiB", "1,5GiB", "99999TiB"])("%s is none", async (size) => {
    const result = await stage.exportTo(join(stage.work, "out.tar"), `--split-size=${size}`);
    expectFailure(result, 2, `cannot use \`${size}\` as the value of \`--split-size\``, "such as `4GiB`");
    expect(await readdir(stage.work)).toEqual([]);
  });

  test("a list is repeated or separated with commas", async () => {
    const list = (...flags: string[]) => {
      const from = ["--bundles-override", stage.bundles, ...stage.online.mirrors];
      return runExecutable(["list", "artifacts", ...from, ...flags]);
    };
    const [apart, together] = [
      await list("--exclude", FIRST, "--exclude", SECOND),
      await list("--exclude", `${FIRST},${SECOND}`),
    ];
    expect(apart.status, apart.stderr).toBe(0);
    expect(apart.stdout).not.toContain("eks-anywhere/first");
    expect(apart.stdout).not.toContain("eks-anywhere/second");
    expect(together.stdout).toBe(apart.stdout);
    expect((await list("--exclude", FIRST)).stdout).toContain("eks-anywhere/second");
    for (const bad of [`${FIRST},`, `,${FIRST}`, ","]) {
      expectFailure(await list("--exclude", bad), 2, "cannot use `--exclude` with an empty value");
    }
  });
});
