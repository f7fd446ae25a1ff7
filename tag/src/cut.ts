// What of an address is said: the same cuts that the server makes again (troth/collect/visits/cutting.py).

const CUT = "\u2026";
const MOST = 200;
const CAMPAIGN = ["utm_source", "utm_medium", "utm_campaign"];

const digits = (text: string): number => text.replace(/\D/g, "").length;

/** One part of a path; cut whole where it could point at somebody. */
function part(text: string): string {
  let plain = text;
  try {
    plain = decodeURIComponent(decodeURIComponent(text));
  } catch {
    return CUT;
  }
  return /[@&=:%\s]/.test(plain) || digits(plain) > 6 || (plain.length > 19 && /\d/.test(plain)) ? CUT : plain;
}

/** A path without query, fragment and parameters. */
export const path = (text: string): string => text.split(/[?#;]/)[0]!.split("/").map(part).join("/").slice(0, MOST);

/** The names of a campaign, and nothing else of a query. */
export const campaign = (query: URLSearchParams): string => {
  const said = CAMPAIGN.map((name) => query.get(name)).filter((value) => value);
  const text = said.join(" / ");
  return /^[\w .+/-]{1,80}$/.test(text) && digits(text) < 7 ? text : "";
};
