import { X509Certificate } from "node:crypto";

const BEGIN = "-----BEGIN CERTIFICATE-----";
const END = "-----END CERTIFICATE-----";

/** Of each certificate in a text in PEM form, in their order, whether it is whole. */
export function wholeCertificates(pem: string): boolean[] {
  return pem.split(BEGIN).slice(1).map(isCertificate);
}

/** `text` begins behind the first line, and may go on behind the last. */
function isCertificate(text: string): boolean {
  const end = text.indexOf(END);
  if (end < 0) return false;
  try {
    return new X509Certificate(`${BEGIN}${text.slice(0, end)}${END}\n`).subject !== undefined;
  } catch {
    return false;
  }
}
