/** Power of ten as 10 with a raised exponent. */
export const powerOfTen = (value: number): string => {
  const exponent = Math.round(Math.log10(value)), raised = '⁰¹²³⁴⁵⁶⁷⁸⁹'
  return '10' + String(exponent).replace('-', '⁻').replace(/\d/g, (d) => raised[Number(d)]!)
}
