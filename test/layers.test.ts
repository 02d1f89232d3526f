import { describe, expect, test } from "bun:test";
import { dirname, join, normalize } from "node:path";

const ROOT = join(import.meta.dir, "..");

/** Layer → the layers that it may import from, beside itself. `main` stands for the files in `src` itself. */
const MAY_SEE: Record<string, readonly string[]> = {
  oci: [],
  http: [],
  transfer: ["oci"],
  archive: ["oci"],
  registry: ["oci", "http"],
  eksa: ["oci", "http"],
  terminal: ["oci", "transfer"],
  commands: ["oci", "http", "transfer", "archive", "registry", "eksa", "terminal"],
  main: ["oci", "http", "transfer", "archive", "registry", "eksa", "terminal", "commands"],
};

/** Package → the layers that may import it; a package that is not listed is nobody's. */
const PACKAGES: Record<string, readonly string[]> = {
  consola: ["terminal"],
  valibot: ["eksa", "registry"],
  yaml: ["eksa", "registry"],
};

/** Every module that a source text names: static, `import type`, dynamic, re-exported, required. */
function specifiersOf(source: string): string[] {
  const text = source.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  const named = text.matchAll(/(?<!["'`.])\b(?:from|import|require)\b\s*\(?\s*(["'`])([^"'`\s${}]+)\1/g);
  const computed = text.matchAll(/(?<!["'`.])\b(?:import|require)\s*\((?!\s*["'`])[^)]*\)/g);
  return [...[...named].map((match) => match[2] ?? ""), ...[...computed].map(([call]) => call)];
}

function layerOf(path: string): string {
  const [source, layer, ...rest] = path.split("/");
  if (source !== "src") return "outside src";
  return rest.length === 0 ? "main" : (layer ?? "");
}

/** Why `path` (below the repository) may not import `specifier`; undefined when it may. */
function violation(path: string, specifier: string): string | undefined {
  const layer = layerOf(path);
  const visible = MAY_SEE[layer];
  if (visible === undefined) return `${layer} is no layer`;
  if (/^(?:node|bun):/.test(specifier)) return;
  if (specifier.startsWith(".")) {
    const target = layerOf(normalize(join(dirname(path), specifier)));
    return target === layer || visible.includes(target) ? undefined : `${layer} must not see ${target}`;
  }
  const name = /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier;
  return PACKAGES[name]?.includes(layer) ? undefined : `${layer} must not use ${name}`;
}

test("every import in src keeps the layer rule and the package fences", async () => {
  const broken: string[] = [];
  let seen = 0;
  for (const path of new Bun.Glob("src/**/*").scanSync({ cwd: ROOT })) {
    expect(path).toEndWith(".ts");
    for (const specifier of specifiersOf(await Bun.file(join(ROOT, path)).text())) {
      seen++;
      const why = violation(path, specifier);
      if (why !== undefined) broken.push(`${path}: ${why} (${specifier})`);
    }
  }
  expect(broken).toEqual([]);
  expect(seen).toBeGreaterThan(100);
});

test("the packages that the fences speak of are all that the program depends on", async () => {
  const { dependencies } = await Bun.file(join(ROOT, "package.json")).json();
  expect(Object.keys(dependencies).sort()).toEqual(Object.keys(PACKAGES).sort());
});

describe("the rule finds", () => {
  test.each([
    ["src/oci/a.ts", "../http/b.ts", "oci must not see http"],
    ["src/oci/a.ts", "../transfer/b.ts", "oci must not see transfer"],
    ["src/oci/a.ts", "valibot", "oci must not use valibot"],
    ["src/http/a.ts", "../oci/b.ts", "http must not see oci"],
    ["src/transfer/a.ts", "../archive/b.ts", "transfer must not see archive"],
    ["src/transfer/a.ts", "../http/b.ts", "transfer must not see http"],
    ["src/archive/a.ts", "../transfer/b.ts", "archive must not see transfer"],
    ["src/archive/a.ts", "../http/b.ts", "archive must not see http"],
    ["src/registry/a.ts", "../archive/b.ts", "registry must not see archive"],
    ["src/eksa/a.ts", "../registry/b.ts", "eksa must not see registry"],
    ["src/eksa/deep/a.ts", "../../registry/b.ts", "eksa must not see registry"],
    ["src/terminal/a.ts", "../eksa/b.ts", "terminal must not see eksa"],
    ["src/terminal/a.ts", "../commands/b.ts", "terminal must not see commands"],
    ["src/commands/a.ts", "../main.ts", "commands must not see main"],
    ["src/commands/a.ts", "consola", "commands must not use consola"],
    ["src/commands/a.ts", "consola/core", "commands must not use consola"],
    ["src/archive/a.ts", "yaml", "archive must not use yaml"],
    ["src/eksa/a.ts", "@scope/package/part", "eksa must not use @scope/package"],
    ["src/main.ts", "../test/support/registry.ts", "main must not see outside src"],
    ["src/registry/a.ts", "../../scripts/b.ts", "registry must not see outside src"],
    ["src/other/a.ts", "../oci/b.ts", "other is no layer"],
    ["src/commands/a.ts", "import(name)", "commands must not use import(name)"],
  ])("%s importing %s", (path, specifier, why) => {
    expect(violation(path, specifier)).toBe(why);
  });

  test.each([
    ["src/main.ts", "./commands/a.ts"],
    ["src/commands/a.ts", "./b.ts"],
    ["src/commands/a.ts", "../archive/b.ts"],
    ["src/terminal/a.ts", "consola/core"],
    ["src/eksa/a.ts", "yaml"],
    ["src/registry/a.ts", "../http/b.ts"],
    ["src/oci/a.ts", "node:crypto"],
    ["src/oci/a.ts", "bun:sqlite"],
  ])("nothing wrong with %s importing %s", (path, specifier) => {
    expect(violation(path, specifier)).toBeUndefined();
  });
});

describe("a specifier is read from", () => {
  test.each([
    ["an import", 'import { a } from "./a.ts";'],
    ["an import over several lines", 'import {\n  a,\n  b,\n} from "./a.ts";'],
    ["an import of types", 'import type { A } from "./a.ts";'],
    ["an import without names", 'import "./a.ts";'],
    ["an import of everything", "import * as a from './a.ts';"],
    ["a re-export", 'export { a } from "./a.ts";'],
    ["a re-export of everything", 'export * from "./a.ts";'],
    ["a re-export of types", 'export type { A } from "./a.ts";'],
    ["a dynamic import", 'const a = await import("./a.ts");'],
    ["a dynamic import over lines", "await import(\n  `./a.ts`\n);"],
    ["an import with attributes", 'import a from "./a.ts" with { type: "text" };'],
    ["a type expression", 'let a: import("./a.ts").A;'],
    ["a require", 'const a = require("./a.ts");'],
  ])("%s", (_, source) => {
    expect(specifiersOf(source)).toEqual(["./a.ts"]);
  });

  test("nothing that a comment says", () => {
    expect(specifiersOf('/** import { a } from "./a.ts"; */\n  // import "./b.ts"\nconst c = 1;')).toEqual(
      [],
    );
  });

  test("nothing that a string says", () => {
    expect(specifiersOf('const names = ["from", "./a.ts"]; Buffer.from("./b.ts");')).toEqual([]);
  });

  test("an import whose name is computed, as it stands", () => {
    expect(specifiersOf("await import(name)")).toEqual(["import(name)"]);
  });
});
