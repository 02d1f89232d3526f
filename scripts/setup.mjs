// Makes `node_modules` what the lock file says, with nothing but Node and npm. Runs in a moment when it already is.
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const windows = process.platform === "win32";

function run(command, args, options = {}) {
  return spawnSync(command, args, { cwd: root, stdio: "inherit", shell: windows, ...options }).status ?? 1;
}

function isCurrent() {
  const installed = `${root}node_modules/.package-lock.json`;
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(`${root}package-lock.json`).mtimeMs;
}

function bunRuns() {
  const bun = `${root}node_modules/.bin/bun${windows ? ".cmd" : ""}`;
  return run(bun, ["--version"], { stdio: "ignore" }) === 0;
}

if (!isCurrent()) {
  const status = run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
  if (status !== 0) process.exit(status);
}
// npm can be set to hold back install scripts; Bun's moves its executable into place.
if (!bunRuns()) {
  const status = run(process.execPath, ["node_modules/bun/install.js"]);
  if (status !== 0 || !bunRuns()) {
    console.error("error: cannot run the Bun that npm installed; remove `node_modules` and try again");
    process.exit(1);
  }
}
