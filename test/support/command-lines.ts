import { join, resolve } from "node:path";
import type { CommandLine } from "../../src/commands/arguments.ts";

const SOURCE = resolve(import.meta.dir, "../../src");
const ENTRY =
  /"?([a-z][a-z -]*)"?: async \(\) =>\s*\(await import\("([^"]+)"\)\)\.(\w+)(?:\("(\w+)", allLines\))?,/g;

/** The command line of everything in the table of `src/main.ts`, which runs where it is imported. */
export async function commandLines(): Promise<CommandLine[]> {
  const text = await Bun.file(join(SOURCE, "main.ts")).text();
  const [table = ""] = /^const COMMANDS[\s\S]*?^};$/m.exec(text) ?? [];
  const entries = [...table.matchAll(ENTRY)];
  const count = table.split("async () =>").length - 1;
  if (count === 0 || entries.length !== count)
    throw new Error(`${entries.length} of ${count} are understood`);
  return Promise.all(
    entries.map(async ([, name, path = "", exported = "", argument]) => {
      const module = await import(join(SOURCE, path));
      const command = argument === undefined ? module[exported] : module[exported](argument, async () => []);
      if (command?.line.name !== name) throw new Error(`${path} has no \`${name}\``);
      return command.line;
    }),
  );
}
