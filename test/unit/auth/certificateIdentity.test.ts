import type { PeerCertificate } from "node:tls";
import { describe, expect, it } from "vitest";
import { mayAccess } from "../../../src/domain/identity.js";
import { identifyCertificate } from "../../../src/server/auth/certificateIdentity.js";

/** A certificate as Node.js shows it. */
function certificate(subjectaltname?: string, validTo = "Jan  1 00:00:00 2120 GMT"): PeerCertificate {
  const subject = { CN: "router-west", OU: ["watch", "floor"] };
  return { subject, subjectaltname, valid_to: validTo } as unknown as PeerCertificate;
}

const eventsOf = (names: string) => identifyCertificate(certificate(names)).events;

describe("a client certificate", () => {
  it("names its owner, and the owner's rights", () => {
    expect(identifyCertificate(certificate())).toMatchObject({
      name: "router-west",
      scopes: new Set(["watch", "floor"]),
      events: undefined,
    });
    expect(eventsOf("DNS:router.example, IP Address:127.0.0.1, URI:https://router.example/a")).toBeUndefined();
  });

  it("limits its owner to the events that it names, in any spelling of their names (G7)", () => {
    expect(eventsOf("URI:squelch:event:fair-1, DNS:x, URI:squelch:event:fair%202")).toEqual(["fair-1", "fair 2"]);
    // Node.js quotes a name with an apostrophe or a comma.
    expect(eventsOf(`URI:"squelch:event:bob's"`)).toEqual(["bob's"]);
    expect(eventsOf(String.raw`DNS:x, URI:"squelch:event:a\u002cb", URI:squelch:event:c`)).toEqual(["a,b", "c"]);
  });

  it("does not take a part of one name for another name", () => {
    const identity = identifyCertificate(certificate(String.raw`URI:"squelch:event:a\", URI:squelch:event:*, URI:b"`));
    expect(mayAccess(identity, "another")).toBe(false);
    expect(eventsOf(`DirName:"CN = a, URI:squelch:event:*"`)).toBeUndefined();
  });

  it("with unreadable limits identifies no caller", () => {
    for (const names of [
      "URI:squelch:event:50%",
      "URI:SQUELCH:EVENT:fair-1",
      "URI:squelch:events:fair-1",
      `URI:"squelch:event:a`,
    ]) {
      expect(() => eventsOf(names), names).toThrow(
        expect.objectContaining({ code: "unauthenticated", message: expect.stringContaining("alternative names") }),
      );
    }
  });

  it("that has expired since its connection was made no longer identifies a caller (pitfall 31)", () => {
    const expired = certificate(undefined, new Date(Date.now() - 1_000).toUTCString());
    expect(() => identifyCertificate(expired)).toThrow(
      expect.objectContaining({ code: "unauthenticated", message: expect.stringContaining("expired") }),
    );
  });
});
