import { isIP } from "node:net";
import { isInSubnet, isLoopback } from "./address.ts";
import { PROXY_VARIABLES } from "./proxy-variables.ts";
import { NetworkError } from "./transport.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy that a request goes through; undefined: none. The rules are those of Go's net/http, which
 * docker and Kubernetes follow: this machine is never reached through a proxy, and in `NO_PROXY` a name
 * stands for itself and all below it, one with a leading dot for those below it only.
 * Source: https://pkg.go.dev/golang.org/x/net/http/httpproxy
 */
export function proxyFor(url: URL, environment: Environment): URL | undefined {
  if (url.protocol !== "http:" && url.protocol !== "https:") return;
  const names = PROXY_VARIABLES[url.protocol];
  const text = firstOf(environment, names);
  if (text === undefined || isExempt(url, firstOf(environment, PROXY_VARIABLES.none) ?? "")) return;
  const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  const proxy = URL.canParse(address) ? new URL(address) : undefined;
  if (proxy?.protocol === "http:" || proxy?.protocol === "https:") return proxy;
  // The value is not quoted: it may hold a password.
  throw new NetworkError(`the proxy in ${names[0]} is none that can be used`, {
    code: "PROXY_ADDRESS",
    retryable: false,
    hint: `write ${names[0]} as \`http://HOST:PORT\``,
  });
}

function firstOf(environment: Environment, names: readonly string[]): string | undefined {
  return names.map((name) => environment[name]?.trim()).find(Boolean);
}

function isExempt(url: URL, exceptions: string): boolean {
  if (isLoopback(url.hostname)) return true;
  const host = url.hostname.replace(/^\[|\]$|\.$/g, "");
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  const entries = exceptions.toLowerCase().split(/[\s,]+/);
  return entries.some((entry) => entry !== "" && isMatch(entry, { host, port }));
}

function isMatch(entry: string, { host, port }: { host: string; port: string }): boolean {
  if (entry === "*") return true;
  const [, subnet, bits] = /^([^/]+)\/(\d{1,3})$/.exec(entry) ?? [];
  if (subnet !== undefined) return isIP(host) !== 0 && isInSubnet(host, subnet, Number(bits));
  // A bare IPv6 address holds colons, but no port.
  const [, bracketed, plain, onPort] =
    isIP(entry) === 6 ? [entry, entry] : (/^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(entry) ?? []);
  const name = (bracketed ?? plain ?? "").replace(/^\*(?=\.)/, "");
  if (name === "" || (onPort !== undefined && onPort !== port)) return false;
  if (isIP(name) !== 0) return isIP(host) !== 0 && isInSubnet(host, name, isIP(name) === 4 ? 32 : 128);
  if (name.startsWith(".")) return host.endsWith(name);
  return host === name || host.endsWith(`.${name}`);
}
