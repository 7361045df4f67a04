/** Supply and consumption of a pool as smoothed rates, and when it will be empty. Pure arithmetic. */
export interface Flow { readonly supplyBitsPerS: number, readonly consumptionBitsPerS: number }

export const stillWater: Flow = { supplyBitsPerS: 0, consumptionBitsPerS: 0 }

/**
 * Takes what came and went in an interval into the rates: an exponential mean with time constant `tauMs`, so that the
 * result does not depend on how often it is fed. An interval of 0 or less changes nothing.
 */
export const measure = (flow: Flow, suppliedBits: number, consumedBits: number, intervalMs: number, tauMs: number): Flow => {
  if (!(intervalMs > 0)) return flow
  const weight = 1 - Math.exp(-intervalMs / tauMs)
  const perS = 1_000 / intervalMs
  return {
    supplyBitsPerS: flow.supplyBitsPerS + weight * (suppliedBits * perS - flow.supplyBitsPerS),
    consumptionBitsPerS: flow.consumptionBitsPerS + weight * (consumedBits * perS - flow.consumptionBitsPerS),
  }
}

/** Milliseconds until `stockBits` are used up at these rates; Infinity if the stock does not shrink. */
export const timeToEmptyMs = (flow: Flow, stockBits: number): number => {
  const drain = flow.consumptionBitsPerS - flow.supplyBitsPerS
  return drain > 0 ? stockBits / drain * 1_000 : Infinity
}
