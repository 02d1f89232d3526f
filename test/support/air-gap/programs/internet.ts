/**
 * The Internet, as one server. It is told what to do over a socket of its own.
 * usage: internet.ts CERTIFICATE KEY SOCKET INVENTORY; prints a line when it is there.
 */
import { writeFile } from "node:fs/promises";
import { publication } from "../content.ts";
import { INTERNET } from "../hosts.ts";
import { inventoryOf } from "../inventory.ts";
import { internet } from "../origin.ts";
import { Traffic } from "../traffic.ts";

const [certificate = "", key = "", socket = "", inventory = ""] = process.argv.slice(2);
const published = await publication();
const traffic = new Traffic();
Bun.serve({
  hostname: INTERNET,
  port: 443,
  idleTimeout: 0,
  tls: { cert: Bun.file(certificate), key: Bun.file(key) },
  fetch: internet(published, traffic),
});
const done = () => new Response();
Bun.serve({
  unix: socket,
  routes: {
    "/sent": () => Response.json(traffic.sent),
    "/hold": async (request) => traffic.hold(Number(await request.text())).then(done),
    "/release": () => {
      traffic.release();
      return done();
    },
    "/reset": () => {
      traffic.reset();
      return done();
    },
    "/refuse": async (request) => {
      traffic.refusals.push(...(await request.text()).split(",").map(Number));
      return done();
    },
  },
});
await writeFile(inventory, JSON.stringify(inventoryOf(published)));
console.log("ready");
