import { describe, expect, test } from "bun:test";
import { proxyFor } from "../../src/http/proxy.ts";
import { PROXY_VARIABLES } from "../../src/http/proxy-variables.ts";

const SET = { HTTP_PROXY: "http://plain:3128", HTTPS_PROXY: "http://secure:3128" };
const via = (url: string, environment: Record<string, string>) => proxyFor(new URL(url), environment)?.href;

describe("the proxy", () => {
  test.each<[string, Record<string, string>, string | undefined]>([
    ["http://a.b/", SET, "http://plain:3128/"],
    ["https://a.b/", SET, "http://secure:3128/"],
    ["https://a.b/", { HTTP_PROXY: "http://plain:3128" }, undefined],
    ["http://a.b/", { HTTPS_PROXY: "http://secure:3128" }, undefined],
    ["https://a.b/", { https_proxy: "http://lower:1" }, "http://lower:1/"],
    ["https://a.b/", { HTTPS_PROXY: "http://upper:1", https_proxy: "http://lower:1" }, "http://upper:1/"],
    ["https://a.b/", { HTTPS_PROXY: "", https_proxy: "http://lower:1" }, "http://lower:1/"],
    ["https://a.b/", { HTTPS_PROXY: " " }, undefined],
    ["https://a.b/", { HTTPS_PROXY: "proxy:3128" }, "http://proxy:3128/"],
    ["https://a.b/", { HTTPS_PROXY: "10.0.0.1:3128" }, "http://10.0.0.1:3128/"],
    ["https://a.b/", { HTTPS_PROXY: "https://proxy" }, "https://proxy/"],
    ["https://a.b/", { HTTPS_PROXY: "http://u:p%40@proxy:1" }, "http://u:p%40@proxy:1/"],
    ["https://a.b/", { HTTPS_PROXY: "u:p@proxy:1" }, "http://u:p@proxy:1/"],
  ])("of %s under %j is %p", (url, environment, expected) => {
    expect(via(url, environment)).toBe(expected);
  });

  test.each(["socks5://user:hidden@proxy:1080", "http://", "http://user:hidden@:1"])(
    "%s is none, and is not repeated",
    (value) => {
      const failure = (() => {
        try {
          return proxyFor(new URL("https://a.b/"), { https_proxy: value });
        } catch (error) {
          return error;
        }
      })();
      expect(failure).toMatchObject({ code: "PROXY_ADDRESS", retryable: false });
      expect(JSON.stringify(failure) + String(failure)).not.toContain("hidden");
    },
  );

  test.each(["http://localhost/", "https://127.0.0.1:5000/", "https://127.8.8.8/", "https://[::1]:5000/"])(
    "never stands before this machine: %s",
    (url) => {
      expect(via(url, SET)).toBeUndefined();
    },
  );

  test("is read from six variables, which are all taken from the runtime", () => {
    expect<string[]>(Object.values(PROXY_VARIABLES).flat().sort()).toEqual(
      ["HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"].sort(),
    );
  });
});

describe("NO_PROXY", () => {
  test.each<[string, string, boolean]>([
    ["*", "https://a.b/", true],
    ["b.example", "https://b.example/", true],
    ["b.example", "https://a.b.example/", true],
    ["b.example", "https://ab.example/", false],
    ["b.example", "https://b.example.org/", false],
    [".b.example", "https://a.b.example/", true],
    [".b.example", "https://b.example/", false],
    ["*.b.example", "https://a.b.example/", true],
    ["*.b.example", "https://b.example/", false],
    ["B.Example", "https://A.B.EXAMPLE/", true],
    ["b.example", "https://b.example./", true],
    ["b.example:5000", "https://b.example:5000/", true],
    ["b.example:5000", "https://b.example/", false],
    ["b.example:443", "https://b.example/", true],
    ["b.example:80", "http://b.example/", true],
    ["x, b.example ,y", "https://b.example/", true],
    ["x b.example", "https://b.example/", true],
    ["10.0.0.0/8", "https://10.1.2.3:5000/", true],
    ["10.0.0.0/8", "https://11.1.2.3/", false],
    ["10.0.0.0/8", "https://ten.example/", false],
    ["10.1.2.3", "https://10.1.2.3/", true],
    ["10.1.2.3", "https://10.1.2.33/", false],
    ["10.1.2.3:5000", "https://10.1.2.3:5000/", true],
    ["10.1.2.3:5000", "https://10.1.2.3/", false],
    ["fd00::/8", "https://[fd12::1]:5000/", true],
    ["fd00::/8", "https://[fe80::1]/", false],
    ["fd00::1", "https://[fd00::1]/", true],
    ["fd00:0::1", "https://[fd00::1]:5000/", true],
    ["[fd00::1]:5000", "https://[fd00::1]:5000/", true],
    ["[fd00::1]:5000", "https://[fd00::1]/", false],
    ["[fd00::1]", "https://[fd00::1]/", true],
    ["10.0.0.0/33", "https://10.1.2.3/", false],
    ["nonsense/8", "https://10.1.2.3/", false],
    ["/8", "https://10.1.2.3/", false],
    [":5000", "https://b.example:5000/", false],
    [",,", "https://b.example/", false],
    ["", "https://b.example/", false],
  ])("%j, asked for %s: direct %p", (exceptions, url, isDirect) => {
    for (const name of ["NO_PROXY", "no_proxy"]) {
      expect(via(url, { ...SET, [name]: exceptions }) === undefined).toBe(isDirect);
    }
  });
});
