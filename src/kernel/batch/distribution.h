/*
 * distribution.h
 *	  Quantiles of the distributions that tests are made of.
 */
#ifndef SP_DISTRIBUTION_H
#define SP_DISTRIBUTION_H

/*
 * The x with P(X > x) = p, for 0 < p < 1; relative error below 1e-11, for chi-squared up to 10,000
 * degrees of freedom.
 */

/* chi-squared with that many degrees of freedom, which are above 0 */
extern double sp_chi_squared_above(double degrees, double p);

/* Student's t, likewise */
extern double sp_student_above(double degrees, double p);

#endif
