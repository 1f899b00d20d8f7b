/*
 * mahalanobis.h
 *	  Distance from an exponentially weighted mean, in the metric of the covariance.
 *
 * P. C. Mahalanobis, On the generalized distance in statistics (1936); its distribution by
 * H. Hotelling, The generalization of Student's ratio (1931); the factor's update by
 * P. E. Gill, G. H. Golub, W. Murray and M. A. Saunders, Methods for modifying matrix
 * factorizations, Mathematics of Computation 28 (1974), method C1.
 *
 * Weights as in ewma.h: after x_1 .. x_N that of x_i is (1 - alpha)^(N - i), divided by the sum.
 *
 *	W_N    = (1 - alpha) W_(N-1) + 1		Q_N = (1 - alpha)^2 Q_(N-1) + 1		r = 1 / W_N
 *	d      = x_N - mean_(N-1)
 *	mean_N = mean_(N-1) + r d
 *	var_N  = (1 - r) (var_(N-1) + r d^2)						by feature
 *	C_N    = (1 - r) (C_(N-1) + r d d') + r n ridge var_N,k e_k e_k'	k = N mod n
 *
 * C is the weighted covariance, and on its diagonal some `ridge` times the variances: each event
 * adds to one feature's, in turn.  Where features repeat one another C is still regular then.
 * It is kept as C = L D L', D a diagonal, L with ones on its own, and changed in O(n^2).
 *
 * The squared distance of x, with p = L^-1 (x - mean), is
 *
 *	T^2 = sum p_k^2 / max(D_k, ridge var_k) * (1 - h) / (1 + h)			h = Q / W^2
 *
 * 1 / h is how many values the weights are worth; (1 - h) makes the covariance unbiased,
 * and (1 + h) is for the error of the mean.  For normal values T^2 has Hotelling's distribution
 * with 1 / h - 1 degrees of freedom (taken as 10000 at most) and
 * m = sum (1 - ridge var_k / D_k) features: those that others already tell don't count.
 * The score is the z for which a normal deviate is beyond +-z as rarely as T^2 is as large: 3
 * means the same for any number of features and however few values were learned.  For one
 * feature and many values it is |x - mean| / sd.  (Where the features are nearly as many as
 * 1 / alpha it is somewhat less.)
 *
 * A feature that was constant is left out while it stays where it is, up to rounding;
 * when it doesn't, the score is SP_SCORE_MAX.
 *
 * Parts: d_i (C^-1 d)_i / T^2 of the score for feature i.  They add up; one that is negative
 * says that the others would be even stranger without it.  expected is the mean; lower and
 * upper are between which values of this feature alone, the others being what they are, the score
 * were at most the threshold; NaN where there are none.  nearest is the point on the way to the mean
 * where the score is the threshold; constants that have left their place are put back.
 *
 * Values so far away that C would be infinite can't be learned.
 */
#ifndef SP_MAHALANOBIS_H
#define SP_MAHALANOBIS_H

#include "kernel/online/online.h"

#define SP_MAHALANOBIS_THRESHOLD	3.0 /* as ewma's */

typedef struct SpMahalanobisParams
{
	double		alpha;
	double		ridge;
	int32_t		warmup;
} SpMahalanobisParams;

/* Followed by mean, var, D (n each) and L below its diagonal, by columns. */
typedef struct SpMahalanobis
{
	uint64_t	count;			/* values learned */
	double		weight;			/* W */
	double		square_weight;	/* Q */
	double		numbers[];
} SpMahalanobis;

extern const SpKernel sp_kernel_mahalanobis;

#endif
