/** The current view of the page, from the fragment of its address. */
export type Route = { page: "overview" } | { page: "fleet" } | { page: "audit" } | { page: "event"; eventId: string };

export function parseRoute(fragment: string): Route {
  const [, page, id] = /^#\/(\w+)(?:\/(.+))?$/.exec(fragment) ?? [];
  if (page === "fleet" || page === "audit") return { page };
  if (page === "event" && id !== undefined) {
    try {
      return { page, eventId: decodeURIComponent(id) };
    } catch {
      return { page: "overview" };
    }
  }
  return { page: "overview" };
}

export function linkTo(route: Route): string {
  if (route.page === "event") return `#/event/${encodeURIComponent(route.eventId)}`;
  return route.page === "overview" ? "#/" : `#/${route.page}`;
}
