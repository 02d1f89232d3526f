import { X509Certificate } from "node:crypto";

const BEGIN = "-----BEGIN CERTIFICATE-----";
/** Where a certificate begins that is not commented out. */
const FIRST_LINE = /-----BEGIN CERTIFICATE-----(?<!^[ \t]*#.*)/m;
const END = "-----END CERTIFICATE-----";

/** Of each certificate in a text in PEM form, in their order, whether it is whole. */
export function wholeCertificates(pem: string): boolean[] {
  return pem.split(FIRST_LINE).slice(1).map(isCertificate);
}

/** `text` begins behind the first line, and may go on behind the last. */
function isCertificate(text: string): boolean {
  const end = text.indexOf(END);
  if (end < 0) return false;
  try {
    return new X509Certificate(`${BEGIN}${text.slice(0, end)}${END}\n`).raw.length > 0;
  } catch {
    return false;
  }
}
