import type { KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { AcceptBundles } from "../eksa/collect.ts";
import { throwAll } from "../eksa/failures.ts";
import { type Judgement, parsePublicKey, SignedBundles } from "../eksa/signature.ts";
import type { TitledFile } from "../eksa/wrap.ts";
import { Fault } from "../oci/fault.ts";
import type { Log } from "../terminal/log.ts";
import type { Values } from "./arguments.ts";
import type { SIGNATURE_FLAGS } from "./flags.ts";
import type { RunReport } from "./report.ts";

interface SignatureRun {
  values: Values<typeof SIGNATURE_FLAGS>;
  /** The working directory. */
  directory: string;
  log: Log;
}

/** The fields that a message names. */
const MOST_NAMED = 8;

/**
 * Does what `--signature` asks for: fails where a signature does not hold, or one that has to be there is not. The
 * report says so, too.
 */
export class SignatureCheck {
  readonly #run: SignatureRun;
  readonly #report: RunReport;
  readonly #key: KeyObject | undefined;
  #bundles: SignedBundles | undefined;
  #judgements: Judgement[] = [];

  /** Reads the key. */
  constructor(run: SignatureRun, report: RunReport) {
    const { signature, signatureKey } = run.values;
    if (signature === "skip" && signatureKey !== undefined) {
      throw new Fault("cannot use `--signature-key` with `--signature skip`", {
        hint: "leave out one of them",
        kind: "usage",
      });
    }
    this.#run = run;
    this.#report = report;
    this.#key = signatureKey === undefined ? undefined : readKey(run.directory, signatureKey);
  }

  /** The Bundles itself, before anything that it points to is fetched. */
  readonly bundles: AcceptBundles = (file) => {
    const { values, log } = this.#run;
    if (values.signature === "skip") log.debug(1, "signatures are not looked at");
    else {
      this.#bundles = new SignedBundles(file, this.#key);
      this.#accept([this.#bundles.judge()]);
    }
  };

  /** The EKS-D releases among what it points to. */
  releases(files: readonly TitledFile[]): void {
    if (this.#bundles === undefined) return;
    this.#accept(this.#bundles.judgeReleases(files));
    tell(this.#run.log, this.#judgements);
  }

  #accept(judgements: readonly Judgement[]): void {
    this.#judgements.push(...judgements);
    this.#report.signatures(this.#judgements);
    const failures = judgements.flatMap((each) => failureOf(each, this.#run.values.signature) ?? []);
    throwAll("cannot accept what the Bundles points to", failures);
  }
}

function readKey(directory: string, path: string): KeyObject {
  const failure = `cannot read the public key in ${path}`;
  const hint = "give a P-256 key as `openssl ec -pubout` writes it, in PEM form or its base64 alone";
  let text: string;
  try {
    text = readFileSync(resolve(directory, path), "utf8");
  } catch (cause) {
    throw new Fault(failure, { cause });
  }
  try {
    return parsePublicKey(text);
  } catch (cause) {
    throw new Fault(failure, { cause, hint, kind: "usage" });
  }
}

function failureOf(judgement: Judgement, wanted: SignatureRun["values"]["signature"]): Fault | undefined {
  const { kind, annotation, verdict } = judgement;
  const name = nameOf(judgement);
  switch (verdict.state) {
    case "invalid":
      return new Fault(`cannot accept ${name}: its signature is not valid`, {
        cause: new Error(`\`${annotation}\`: ${verdict.cause.message}`),
        hint: "get it anew from its publisher; for another publisher's, name that one's key with `--signature-key FILE`",
        kind: "mismatch",
      });
    case "unknownFields":
      if (wanted !== "require") return;
      return new Fault(unknownTo(judgement), {
        cause: new Error(listed(verdict.fields)),
        hint: "use a version of this program as new as the release; or go on unsure with `--signature auto`",
        kind: "mismatch",
      });
    case "absent":
      if (wanted !== "require" || kind !== "Bundles") return;
      return new Fault(`cannot accept ${name}: it is not signed`, {
        cause: new Error(`there is no annotation \`${annotation}\``),
        hint: "take a signed one (EKS Anywhere signs since v0.22.0), or this one unsigned with `--signature auto`",
        kind: "mismatch",
      });
    default:
      return;
  }
}

function tell(log: Log, judgements: readonly Judgement[]): void {
  const of = (state: Judgement["verdict"]["state"]) =>
    judgements.filter(({ verdict }) => verdict.state === state);
  const [valid, absent] = [of("valid"), of("absent")];
  if (valid.length > 0) log.info(`signed and unchanged: ${counted(valid)}`);
  // An EKS-D release is signed on its Bundles: where that has no signature, nobody expects the others.
  if (absent.some(({ kind }) => kind === "Bundles")) {
    log.warn(
      "the Bundles is not signed: nothing shows that it is its publisher's (`--signature require` refuses it)",
    );
  } else if (absent.length > 0) {
    log.warn(`not signed, so nothing shows whose they are: ${counted(absent)}`);
  }
  for (const judgement of judgements) {
    const { verdict } = judgement;
    if (verdict.state === "unknownFields") log.warn(`${unknownTo(judgement)}: ${listed(verdict.fields)}`);
  }
}

function unknownTo(judgement: Judgement): string {
  return `cannot judge the signature of ${nameOf(judgement)}: it covers fields that this version does not know`;
}

/** `the Bundles, 7 EKS-D releases` */
function counted(judgements: readonly Judgement[]): string {
  const releases = judgements.filter(({ kind }) => kind !== "Bundles").length;
  return [
    ...(releases < judgements.length ? ["the Bundles"] : []),
    ...(releases > 0 ? [`${releases} EKS-D release${releases === 1 ? "" : "s"}`] : []),
  ].join(", ");
}

function listed(fields: readonly string[]): string {
  const more = fields.length - MOST_NAMED;
  return [...fields.slice(0, MOST_NAMED), ...(more > 0 ? [`and ${more} more`] : [])].join(", ");
}

function nameOf({ kind, title }: Judgement): string {
  return kind === "Bundles" ? "the Bundles" : `the EKS-D Release ${title}`;
}
