/** Ends a subscription. Idempotent. */
export type Unsubscribe = () => void;
