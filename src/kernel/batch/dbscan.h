/*
 * dbscan.h
 *	  Clusters of dense points, and noise.
 *
 * M. Ester, H.-P. Kriegel, J. Sander and X. Xu, A density-based algorithm for discovering clusters
 * in large spatial databases with noise, KDD 1996.
 *
 * A point is a core point when at least min_points, itself included, are no farther than eps.
 * Core points no farther than eps from one another are of one cluster; another point no farther
 * than eps from a core point is of its cluster, of several of that with the least number; all
 * else is noise, NaN.  Clusters are numbered from 0 in the order of their first core points: as
 * scikit-learn does, label by label.
 *
 * Up to 3 columns: the points are sorted into the cells of a grid whose diagonal is eps, so that
 * all points of a cell are near one another; what is near a cell is looked at only as far as it
 * takes (A. Gunawan, 2013; M. de Berg, A. Gunawan and M. Roeloffzen, ISAAC 2017).  Else, or where a
 * grid would be too fine: a k-d tree.
 */
#ifndef SP_DBSCAN_H
#define SP_DBSCAN_H

#include "kernel/batch/kernels.h"

#define SP_DBSCAN_GRID_COLUMNS	3

extern const SpBatchKernel sp_batch_dbscan;

#endif
