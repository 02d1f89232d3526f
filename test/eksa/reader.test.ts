import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createReader, MAX_FILE_BYTES } from "../../src/eksa/reader.ts";
import { faultOf } from "../support/faults.ts";

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "eksa-reader-"));
  await mkdir(join(directory, "config"));
  await writeFile(join(directory, "config", "a.yaml"), "a: b\n");
  await writeFile(join(directory, "large.yaml"), "");
  await truncate(join(directory, "large.yaml"), MAX_FILE_BYTES + 1);
});

afterAll(() => rm(directory, { recursive: true }));

function reader(paths: "read" | "unresolved", body = new Uint8Array(1)) {
  const asked: string[] = [];
  const http = async (url: string) => {
    asked.push(url);
    return body;
  };
  return { asked, read: createReader({ http, oci: http, paths, directory }) };
}

describe("a URI", () => {
  test.each([
    "https://a.example/x.yaml",
    "http://127.0.0.1:1/x.yaml",
    "HTTPS://a.example/x.yaml",
    "oci://a.example/x:1",
  ])("%s is asked for over the network", async (url) => {
    const { asked, read } = reader("unresolved");
    expect(await read(url)).toHaveLength(1);
    expect(asked).toEqual([url]);
  });

  test.each(["embed:///config/x.yaml", "s3://bucket/x.yaml", "file:///etc/passwd"])(
    "%s cannot be resolved, which is no failure",
    async (uri) => {
      const { asked, read } = reader("read");
      expect(await read(uri)).toBeUndefined();
      expect(asked).toEqual([]);
    },
  );

  test("that is a path is relative to the directory, or absolute", async () => {
    const { read } = reader("read");
    const expected = new TextEncoder().encode("a: b\n");
    expect(await read("config/a.yaml")).toEqual(expected);
    expect(await read(join(directory, "config/a.yaml"))).toEqual(expected);
  });

  test("that is a path means nothing in a Bundles from elsewhere", async () => {
    expect(await reader("unresolved").read(join(directory, "config/a.yaml"))).toBeUndefined();
  });

  test("of something too large, of a folder or of nothing fails", async () => {
    const { read } = reader("read", new Uint8Array(MAX_FILE_BYTES + 1));
    expect((await faultOf(() => read("large.yaml"))).message).toContain("larger than");
    expect((await faultOf(() => read("config"))).message).toContain("not a file");
    const url = "https://u:p@a.example/x?sig=1";
    expect((await faultOf(() => read(url))).message).toStartWith(
      "cannot read https://a.example/x: it is larger",
    );
    await expect(read("absent.yaml")).rejects.toThrow("ENOENT");
  });
});
