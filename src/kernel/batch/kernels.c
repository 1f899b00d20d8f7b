/*
 * kernels.c
 *	  The list of batch kernels.
 */
#include "kernel/batch/kernels.h"

#include <string.h>

#include "kernel/batch/auto_score.h"
#include "kernel/batch/changepoint.h"
#include "kernel/batch/covariance.h"
#include "kernel/batch/dbscan.h"
#include "kernel/batch/density_forest.h"
#include "kernel/batch/extended_isolation_forest.h"
#include "kernel/batch/hdbscan.h"
#include "kernel/batch/isolation_forest.h"
#include "kernel/batch/loda.h"
#include "kernel/batch/marginal.h"
#include "kernel/batch/matrix_profile.h"
#include "kernel/batch/mcd.h"
#include "kernel/batch/neighbours.h"
#include "kernel/batch/sample_knn.h"
#include "kernel/batch/seasonal_esd.h"
#include "kernel/batch/spectrum.h"
#include "kernel/batch/stored_model.h"
#include "kernel/batch/univariate.h"

const SpBatchKernel *const sp_batch_kernels[] = {
	&sp_batch_auto_score,
	&sp_batch_isolation_forest,
	&sp_batch_extended_isolation_forest,
	&sp_batch_density_forest,
	&sp_batch_sample_knn,
	&sp_batch_dbscan,
	&sp_batch_hdbscan,
	&sp_batch_hdbscan_outlier,
	&sp_batch_knn_distance,
	&sp_batch_lof,
	&sp_batch_ecod,
	&sp_batch_copod,
	&sp_batch_hbos,
	&sp_batch_pca_score,
	&sp_batch_mahalanobis,
	&sp_batch_mcd,
	&sp_batch_loda,
	&sp_batch_zscore,
	&sp_batch_modified_zscore,
	&sp_batch_tukey,
	&sp_batch_grubbs,
	&sp_batch_generalized_esd,
	&sp_batch_seasonal_esd,
	&sp_batch_stl_residual,
	&sp_batch_matrix_profile,
	&sp_batch_spectral_residual,
	&sp_batch_bayesian_changepoint,
	NULL
};

const SpKernel *const sp_batch_point_kernels[] = {
	&sp_kernel_model,
	NULL
};

const SpBatchKernel *
sp_batch_find(const char *name)
{
	for (const SpBatchKernel *const *k = sp_batch_kernels; *k != NULL; k++)
	{
		if (strcmp((*k)->name, name) == 0)
			return *k;
	}
	return NULL;
}

size_t
sp_batch_straight(const void *params)
{
	(void) params;
	return 1;
}

/* Fill in the defaults of a kernel's table. */
void
sp_batch_defaults(const SpBatchKernel *kernel, void *params)
{
	sp_param_defaults(kernel->param_table, kernel->nparams, params, kernel->params_size);
}
