import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { redactUrl } from "./redact.ts";
import { NetworkError } from "./transport.ts";

export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}

/** What to do about a host that names a place where nobody can be asked. */
export function hintForNoPlace({ host }: URL): string {
  return `see what answers for \`${host}\`: its settings, or those of a proxy before it, name a place that is none`;
}

/** Subnets that only the inside of a network can mean. Spec: RFC 6890. */
const INTERNAL: readonly [string, number][] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["::", 127],
  ["fc00::", 7],
  ["fe80::", 10],
];

/** Whether a URL's host is an address, or `localhost`, that only the inside of a network can mean. */
export function isInternal(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, "");
  if (isIP(host) !== 0) return INTERNAL.some(([subnet, bits]) => isInSubnet(host, subnet, bits));
  return /(?:^|\.)localhost\.?$/i.test(host);
}

/** Both addresses without brackets; one of another family is in no subnet, except IPv4 written as IPv6. */
export function isInSubnet(address: string, subnet: string, bits: number): boolean {
  const family = isIP(subnet);
  if (family === 0 || bits > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(subnet, bits, family === 4 ? "ipv4" : "ipv6");
  return list.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}

/**
 * Fails when an answer of a public host leads to an internal address: a redirect, a token realm or an
 * upload's place may not make this machine ask around in its own network (169.254.169.254 hands out a
 * cloud's credentials). An internal host may lead where it likes, as private registries do with the object
 * store behind them; it is internal when its name has internal addresses only.
 *
 * What counts is the address as written. A name passes even if it resolves to an internal address, since a
 * name server of this network says so: that is how private endpoints of public object stores work.
 */
export async function assertMayLead(from: URL, to: URL): Promise<void> {
  if (from.hostname === to.hostname || !isInternal(to.hostname)) return;
  if (isInternal(from.hostname) || (await hasInternalName(from.hostname))) return;
  throw new NetworkError(`\`${from.host}\` leads to ${redactUrl(to)}, an address inside this network`, {
    code: "INTERNAL_ADDRESS",
    retryable: false,
    hint: `if \`${from.host}\` is to be trusted with that, let it name the place by a host name`,
  });
}

/** False where names cannot be resolved, e.g. because only the proxy can. */
async function hasInternalName(hostname: string): Promise<boolean> {
  const found = await lookup(hostname, { all: true }).catch(() => []);
  return found.length > 0 && found.every(({ address }) => isInternal(address));
}
