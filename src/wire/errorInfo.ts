/** The domain of the reasons of Squelch in a google.rpc.ErrorInfo. */
export const ERROR_DOMAIN = "squelch";
